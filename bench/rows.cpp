#include "bench/rows.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "bench/suspects.hpp"
#include "cost/route_cost.hpp"
#include "measure/statistics.hpp"

namespace ep::bench {

namespace {

struct Measured {
  std::vector<double> totals_us;                       // [iterations]
  std::vector<std::vector<double>> op_start_us;        // [ops][iterations]
  std::vector<std::vector<double>> op_duration_us;     // [ops][iterations]
  std::vector<std::vector<double>> rank_lateness_us;   // [ranks][iterations]
  std::vector<std::vector<double>> rank_iteration_us;  // [ranks][iterations]
};

Measured collect(const schedule::Schedule& schedule, const Samples& samples, int ranks) {
  Measured m;
  m.op_start_us.resize(schedule.ops.size());
  m.op_duration_us.resize(schedule.ops.size());
  m.rank_lateness_us.resize(static_cast<std::size_t>(ranks));
  m.rank_iteration_us.resize(static_cast<std::size_t>(ranks));
  for (const schedule::Timeline& timeline : samples.iterations) {
    m.totals_us.push_back(schedule::iteration_us(timeline));
    const auto times = schedule::op_times(schedule, timeline);
    for (std::size_t op = 0; op < times.size(); ++op) {
      m.op_start_us[op].push_back(times[op].start_us);
      m.op_duration_us[op].push_back(times[op].duration_us);
    }
    const std::vector<double> late = schedule::lateness_us(timeline, ranks);
    for (std::size_t rank = 0; rank < late.size(); ++rank) m.rank_lateness_us[rank].push_back(late[rank]);
    for (int rank = 0; rank < ranks; ++rank) {
      schedule::Timeline mine;
      std::copy_if(timeline.spans.begin(), timeline.spans.end(), std::back_inserter(mine.spans),
                   [&](const schedule::Span& span) { return span.rank == rank; });
      m.rank_iteration_us[static_cast<std::size_t>(rank)].push_back(schedule::iteration_us(mine));
    }
  }
  return m;
}

/// The iteration nearest the median, moved to start at 0.
std::vector<schedule::Span> typical(const Samples& samples, const std::vector<double>& totals, double median) {
  const auto nearest = std::min_element(
      totals.begin(), totals.end(), [&](double a, double b) { return std::abs(a - median) < std::abs(b - median); });
  std::vector<schedule::Span> spans = samples.iterations[static_cast<std::size_t>(nearest - totals.begin())].spans;
  const double origin = std::min_element(spans.begin(), spans.end(), [](const auto& a, const auto& b) {
                          return a.start_us < b.start_us;
                        })->start_us;
  for (schedule::Span& span : spans) {
    span.start_us -= origin;
    span.end_us -= origin;
  }
  return spans;
}

std::optional<std::int64_t> bytes_of(const schedule::Operation& op) {
  std::int64_t bytes = 0;
  for (const auto& work : op.work.memory) {
    for (const std::int64_t rank_bytes : work.bytes) bytes += rank_bytes;
  }
  for (const auto& work : op.work.exchange) {
    for (std::int64_t s = 0; s < work.rows->rows(); ++s) {
      for (std::int64_t d = 0; d < work.rows->cols(); ++d) bytes += s == d ? 0 : (*work.rows)(s, d) * work.row_bytes;
    }
  }
  return bytes > 0 ? std::optional(bytes) : std::nullopt;
}

void add_steps(measure::Row& row, const schedule::Schedule& schedule, const Measured& m,
               const cost::Prediction& prediction) {
  const auto predicted = schedule::op_times(schedule, prediction.timeline);
  for (const schedule::Operation& op : schedule.ops) {
    const auto id = static_cast<std::size_t>(op.id);
    const cost::OperationCost& alone = prediction.operations[id];
    row.steps.push_back({op.id, op.name, std::string(schedule::name_of(op.kind)),
                         std::string(schedule::name_of(op.lane)), alone.uses.empty() ? "" : alone.uses[0].resource,
                         measure::median(m.op_start_us[id]), measure::median(m.op_duration_us[id]),
                         predicted[id].duration_us, *std::max_element(alone.rank_us.begin(), alone.rank_us.end()),
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

void add_ranks(measure::Row& row, const RowContext& context, const Samples& samples, const Measured& m) {
  for (int rank = 0; rank < row.ranks; ++rank) {
    const auto r = static_cast<std::size_t>(rank);
    measure::RankResult result;
    result.rank = rank;
    result.host = context.hosts[r];
    result.lateness_us = measure::median(m.rank_lateness_us[r]);
    result.iteration_us = measure::median(m.rank_iteration_us[r]);
    if (const auto figures = row.ranks > 1 ? measure::overlap(samples.overlap[r]) : std::nullopt) {
      result.exposed_us = figures->exposed_us;
      result.overlap_efficiency = figures->efficiency;
      result.compute_interference = figures->interference;
    }
    row.per_rank.push_back(std::move(result));
  }
  const auto slowest = std::max_element(row.per_rank.begin(), row.per_rank.end(),
                                        [](const auto& a, const auto& b) { return a.iteration_us < b.iteration_us; });
  row.exposed_us = slowest->exposed_us;
  row.overlap_efficiency = slowest->overlap_efficiency;
  row.compute_interference = slowest->compute_interference;
}

void add_bytes(measure::Row& row, const Job& job, const plan::Plan& plan, const schedule::Schedule& schedule) {
  const plan::LayerShape& shape = job.config.shape;
  row.dispatch_bytes = plan::count_bytes(plan, shape.hidden, shape.dispatch_dtype);
  row.combine_bytes = plan::count_bytes(plan, shape.hidden, shape.combine_dtype);
  const bool counts_travel = std::any_of(schedule.ops.begin(), schedule.ops.end(), [](const schedule::Operation& op) {
    return op.kind == schedule::OpKind::exchange_counts;
  });
  if (!counts_travel) return;
  // Every rank tells every other one a padded row of counts for each chunk; combine needs none.
  row.dispatch_bytes.metadata = std::int64_t{row.ranks} * (row.ranks - 1) * std::ssize(plan.chunks) *
                                plan.placement.max_local() * std::int64_t{sizeof(std::int32_t)};
}

}  // namespace

measure::Row make_row(const RowContext& context, const schedule::Schedule& schedule, const Samples& samples) {
  const Job& job = context.job;
  measure::Row row;
  row.strategy = schedule.strategy;
  row.direction = schedule.direction;
  row.device = context.device.name();
  row.exchange = context.exchange.name();
  row.algorithm = context.exchange.algorithm();
  row.ranks = job.topology.ranks();
  row.nodes = job.topology.nodes;
  const Measured measured = collect(schedule, samples, row.ranks);
  const measure::Summary summary = measure::summarise(measured.totals_us);
  row.iterations = static_cast<int>(measured.totals_us.size());
  row.converged = samples.converged;
  row.median_us = summary.median;
  row.p95_us = summary.p95;
  row.max_us = summary.max;
  row.ci_low_us = summary.ci_low;
  row.ci_high_us = summary.ci_high;
  row.launch_medians_us = {summary.median};
  const plan::Plan plan = plan::make_plan(job.routing, job.placement, job.topology, schedule.chunks);
  const cost::Prediction prediction = cost::predict(schedule, context.machine);
  row.predicted_us = prediction.total_us;
  row.predicted_spans = prediction.timeline.spans;
  row.measured_spans = typical(samples, measured.totals_us, summary.median);
  const cost::Line& link = row.nodes > 1 ? context.machine.between_nodes : context.machine.in_node;
  row.route_cost_ms =
      cost::route_cost(job.routing, job.placement.expert_ranks(), row.ranks,
                       plan::payload_bytes(job.config.shape.hidden, job.config.shape.dispatch_dtype), link.gbs * 8)
          .comm_time_ms;
  add_steps(row, schedule, measured, prediction);
  add_bottlenecks(row, schedule, prediction);
  row.suspects = find_suspects(context, schedule, samples, prediction);
  add_ranks(row, context, samples, measured);
  add_bytes(row, job, plan, schedule);
  return row;
}

}  // namespace ep::bench
