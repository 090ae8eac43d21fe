#include "bench/prediction.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "cost/predict.hpp"
#include "cost/route_cost.hpp"
#include "cost/waterfall.hpp"

namespace ep::bench {

namespace {

std::int64_t expected_bytes(const schedule::ExchangeWork& work) {
  double rows = 0;
  for (const plan::RankLoad& load : *work.loads) rows += load.out_within.rows + load.out_between.rows;
  return std::llround(rows * static_cast<double>(work.row_bytes));
}

std::optional<std::int64_t> bytes_of(const schedule::Operation& op) {
  std::int64_t bytes = 0;
  for (const auto& work : op.work.memory) {
    for (const std::int64_t rank_bytes : work.bytes) bytes += rank_bytes;
  }
  for (const auto& work : op.work.exchange) {
    if (work.loads) bytes += expected_bytes(work);
    if (!work.rows) continue;
    for (std::int64_t s = 0; s < work.rows->rows(); ++s) {
      for (std::int64_t d = 0; d < work.rows->cols(); ++d) bytes += s == d ? 0 : (*work.rows)(s, d) * work.row_bytes;
    }
  }
  return bytes > 0 ? std::optional(bytes) : std::nullopt;
}

void add_steps(measure::Row& row, const schedule::Schedule& schedule, const cost::Prediction& prediction) {
  const auto predicted = schedule::op_times(schedule, prediction.timeline);
  for (const schedule::Operation& op : schedule.ops) {
    const auto id = static_cast<std::size_t>(op.id);
    const cost::OperationCost& alone = prediction.operations[id];
    row.steps.push_back({op.id, op.name, std::string(schedule::name_of(op.kind)),
                         std::string(schedule::name_of(op.lane)), alone.uses.empty() ? "" : alone.uses[0].resource, 0,
                         0, predicted[id].duration_us, *std::max_element(alone.rank_us.begin(), alone.rank_us.end()),
                         bytes_of(op), op.waits});
  }
}

/// Resources by their busy time over the whole row, all operations together, whichever bound each of them.
void add_bottlenecks(measure::Row& row, const schedule::Schedule& schedule, const cost::Prediction& prediction) {
  struct Busy {
    measure::Bottleneck resource;
    double most = 0;  // share of the operation that loads it most
  };
  std::map<std::pair<std::string, int>, Busy> found;
  for (const schedule::Operation& op : schedule.ops) {
    for (const cost::ResourceUse& use : prediction.operations[static_cast<std::size_t>(op.id)].uses) {
      Busy& busy = found[{use.resource, use.index}];
      const double share = use.busy_us / prediction.total_us;
      busy.resource.resource = use.resource;
      busy.resource.rank = use.index;
      busy.resource.utilisation += share;
      if (share <= busy.most) continue;
      busy.most = share;
      busy.resource.step = op.name;
    }
  }
  std::vector<measure::Bottleneck> sorted;
  for (const auto& [key, busy] : found) sorted.push_back(busy.resource);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.utilisation > b.utilisation; });
  if (!sorted.empty()) row.bottleneck = sorted[0];
  if (sorted.size() > 1) row.runner_up = sorted[1];
}

void add(plan::ByteCounts& bytes, const plan::ByteCounts& more) {
  using plan::ByteCounts;
  for (std::int64_t ByteCounts::*kind : {&ByteCounts::useful, &ByteCounts::logical_rank, &ByteCounts::logical_node,
                                         &ByteCounts::wire_rank, &ByteCounts::wire_node}) {
    bytes.*kind += more.*kind;
  }
}

/// What each pass sends to the experts: hidden states, gradients.
std::vector<core::DType> dispatched_dtypes(const PredictionInput& input) {
  using schedule::Direction;
  std::vector<core::DType> dtypes;
  const std::string& direction = input.schedule.direction;
  if (direction != schedule::name_of(Direction::backward)) dtypes.push_back(input.shape.dispatch_dtype);
  if (direction != schedule::name_of(Direction::forward)) dtypes.push_back(plan::resting_dtype(input.shape));
  return dtypes;
}

void add_bytes(measure::Row& row, const PredictionInput& input) {
  const plan::LayerShape& shape = input.shape;
  const plan::Plan& plan = input.plan;
  for (const core::DType dtype : dispatched_dtypes(input)) {
    add(row.dispatch_bytes, plan::count_bytes(plan, shape.hidden, dtype));
    add(row.combine_bytes, plan::count_bytes(plan, shape.hidden, shape.combine_dtype));
  }
  const auto& ops = input.schedule.ops;
  const bool counts_travel = std::any_of(ops.begin(), ops.end(), [](const schedule::Operation& op) {
    return op.kind == schedule::OpKind::exchange_counts;
  });
  if (!counts_travel) return;  // known from the plan, or the forward pass's
  // Every rank tells every other one a padded row of counts for each chunk; combine needs none.
  row.dispatch_bytes.metadata = std::int64_t{plan.ranks()} * (plan.ranks() - 1) * std::ssize(plan.chunks) *
                                plan.placement.max_local() * std::int64_t{sizeof(std::int32_t)};
}

void add_waterfall(measure::Row& row, const PredictionInput& input, const cost::Prediction& prediction) {
  const cost::Waterfall parts = cost::waterfall(input.schedule, input.machine, prediction);
  row.waterfall = {.latency_us = parts.latency_us,
                   .compute_us = parts.compute_us,
                   .transfer_us = parts.transfer_us,
                   .skew_us = parts.skew_us,
                   .contention_us = parts.contention_us};
}

/// The closed form of cost::route_cost: all that leaves a rank, over one link.
double route_cost_ms(const PredictionInput& input) {
  const cost::Machine& machine = input.machine;
  const double gbs = (machine.topology.nodes > 1 ? machine.between_nodes : machine.in_node).gbs;
  const plan::ByteCounts once = plan::count_bytes(input.plan, input.shape.hidden, dispatched_dtypes(input).front());
  return cost::round4(static_cast<double>(once.wire_rank) / (gbs * 1e9) * 1000);
}

}  // namespace

cost::Prediction add_prediction(measure::Row& row, const PredictionInput& input) {
  cost::Prediction prediction = cost::predict(input.schedule, input.machine);
  row.strategy = input.schedule.strategy;
  row.direction = input.schedule.direction;
  row.nodes = input.machine.topology.nodes;
  row.predicted_us = prediction.total_us;
  row.predicted_spans = prediction.timeline.spans;
  add_steps(row, input.schedule, prediction);
  add_bottlenecks(row, input.schedule, prediction);
  add_waterfall(row, input, prediction);
  add_bytes(row, input);
  row.route_cost_ms = route_cost_ms(input);
  return prediction;
}

}  // namespace ep::bench
