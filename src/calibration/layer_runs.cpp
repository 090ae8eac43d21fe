#include "calibration/layer_runs.hpp"

#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "calibration/line_fit.hpp"
#include "core/clock.hpp"
#include "core/median.hpp"
#include "layer/gather.hpp"
#include "layer/iteration.hpp"
#include "layer/layer.hpp"
#include "routing/routing.hpp"
#include "schedule/strategy.hpp"

namespace ep::calibration {

namespace {

constexpr double kMostRepeats = 200;
constexpr double kRepeatCosts = 2;  // iterations: itself and the interference

const schedule::Operation& find(const schedule::Schedule& schedule, schedule::OpKind kind) {
  return *std::find_if(schedule.ops.begin(), schedule.ops.end(),
                       [&](const schedule::Operation& op) { return op.kind == kind; });
}

/// Durations of every operation, by iteration.
class Durations {
 public:
  explicit Durations(const schedule::Schedule& schedule) : schedule_(schedule), by_op_(schedule.ops.size()) {}

  void add(const schedule::Timeline& timeline) {
    const auto times = schedule::op_times(schedule_, timeline);
    for (std::size_t op = 0; op < times.size(); ++op) by_op_[op].push_back(times[op].duration_us);
  }
  [[nodiscard]] std::vector<double> medians() const {
    std::vector<double> result;
    for (const auto& samples : by_op_) result.push_back(core::median(samples));
    return result;
  }

 private:
  const schedule::Schedule& schedule_;
  std::vector<std::vector<double>> by_op_;
};

std::vector<Sample> samples_of(const std::vector<cost::Point>& points, double apart_us = 0) {
  std::vector<Sample> samples;
  for (const cost::Point& point : points) samples.push_back({point.size, apart_us + point.us});
  return samples;
}

void fit_memory(Calibration& result, schedule::OpKind kind, const std::vector<Sample>& samples) {
  const cost::Line& line = result.machine.memory[kind] = fit_curve(samples);
  record_fit(result.fits, fmt::format("kernels.{}", schedule::name_of(kind)), line, samples);
}

}  // namespace

LayerRuns::Times LayerRuns::run(std::int64_t tokens, double budget_us) {
  const routing::Routing routing =
      routing::generate("uniform", {tokens, input_.topk, input_.placement.experts(), input_.seed + 1, {}});
  layer::Layer layer(device_, exchange_,
                     {routing, input_.placement, input_.topology, input_.shape, input_.seed, communicator_.rank(), 1,
                      input_.direction != schedule::Direction::forward});
  layer::Executor executor(layer);
  const plan::Plan plan = plan::make_plan(routing, input_.placement, input_.topology, 1);
  const schedule::Schedule schedule = schedule::build({"sequential", 1}, plan, input_.shape, input_.direction);
  const double start = core::now_us();
  executor.prepare(schedule);
  executor.run(schedule, layer::Phase::whole);  // what is cold tells nothing of how long the others will take
  const double warm = core::now_us();
  std::vector<std::vector<schedule::Span>> iterations{layer::iterate(executor, schedule, communicator_).whole};
  const double once_us = communicator_.max(core::now_us() - warm);
  const int repeats = static_cast<int>(std::clamp(budget_us / kRepeatCosts / once_us, 1.0, kMostRepeats));
  while (std::ssize(iterations) < repeats)
    iterations.push_back(layer::iterate(executor, schedule, communicator_).whole);
  Durations durations(schedule);
  for (const auto& spans : iterations) durations.add(layer::gather(communicator_, clock_, spans));
  const std::vector<double> alone = durations.medians();
  for (const schedule::Operation& op : schedule.ops) record(op, alone[static_cast<std::size_t>(op.id)]);
  if (communicator_.size() > 1) measure_interference(layer, schedule, alone, repeats);
  return {once_us, core::now_us() - start};
}

void LayerRuns::record(const schedule::Operation& op, double us) {
  if (op.kind == schedule::OpKind::exchange_counts) counts_us_ = us;
  if (op.work.gemm.size() > 1) return record_shared(op, us);
  for (const schedule::MemoryWork& work : op.work.memory) {
    const auto bytes = *std::max_element(work.bytes.begin(), work.bytes.end());
    memory_[work.kernel].push_back({static_cast<double>(bytes), us});
  }
  for (const schedule::GemmWork& work : op.work.gemm) record_gemm(work, us);
  if (input_.topology.nodes > 1) return;  // their links are probed
  for (const schedule::ExchangeWork& work : op.work.exchange) record_exchange(op.kind, work, us);
}

/// All ranks at once load the node most: its bytes against the time. The buffers are as the layer leaves them, which is
/// colder than a loop over the same exchange would have them.
void LayerRuns::record_exchange(schedule::OpKind kind, const schedule::ExchangeWork& work, double us) {
  const int ranks = input_.topology.ranks();
  std::int64_t rows = 0;
  for (int source = 0; source < ranks; ++source) {
    for (int destination = 0; destination < ranks; ++destination)
      rows += source == destination ? 0 : (*work.rows)(source, destination);
  }
  if (rows == 0) return;
  node_memory_[kind].push_back({static_cast<double>(rows * work.row_bytes), us});
}

/// Uniform routing gives every expert about the same rows, so one GEMM takes its share of the slowest rank's time.
void LayerRuns::record_gemm(const schedule::GemmWork& work, double us) {
  double rows = 0;
  double groups = 0;
  for (std::int64_t rank = 0; rank < work.rows->rows(); ++rank) {
    double rank_rows = 0;
    double rank_groups = 0;
    for (const std::int64_t group : work.rows->row(rank)) {
      rank_rows += static_cast<double>(group);
      rank_groups += group > 0 ? 1 : 0;
    }
    if (rank_rows <= rows) continue;
    rows = rank_rows;
    groups = rank_groups;
  }
  if (groups > 0) gemm_[{work.n, work.k, work.weight_grad}].push_back({rows / groups, us / groups});
}

/// The shared expert is one operation: its SwiGLU (or the gradient of it) takes what the experts' took for as many
/// bytes, its GEMMs share the rest by their work. Its shapes are its own, and its rows many more than an expert's.
void LayerRuns::record_shared(const schedule::Operation& op, double us) {
  double gemm_us = us;
  for (const schedule::MemoryWork& work : op.work.memory) {
    const Sample& experts = memory_[work.kernel].back();
    const auto bytes = static_cast<double>(*std::max_element(work.bytes.begin(), work.bytes.end()));
    gemm_us = std::max(0.5 * us, gemm_us - experts.us * bytes / std::max(1.0, experts.bytes));
  }
  double work_sum = 0;
  for (const schedule::GemmWork& work : op.work.gemm) work_sum += static_cast<double>(work.n * work.k);
  for (const schedule::GemmWork& work : op.work.gemm) {
    record_gemm(work, gemm_us * static_cast<double>(work.n * work.k) / work_sum);
  }
}

/// One exchange and one GEMM begin together on every rank.
void LayerRuns::measure_interference(layer::Layer& layer, const schedule::Schedule& schedule,
                                     const std::vector<double>& alone_us, int repeats) {
  using schedule::OpKind;
  const schedule::Operation* const ops[] = {&find(schedule, backward_only() ? OpKind::dispatch_grad : OpKind::dispatch),
                                            &find(schedule, backward_only() ? OpKind::gate_up_dx : OpKind::gate_up)};
  device::Device& device = layer.device();
  device::Stream* const streams[] = {&device.comm_stream(), &device.compute_stream()};
  std::unique_ptr<device::Event> events[4];
  for (auto& event : events) event = device.create_event();
  Durations durations(schedule);
  for (int repeat = 0; repeat < repeats; ++repeat) {
    communicator_.barrier();
    for (std::size_t i = 0; i < 2; ++i) {
      device.record(*events[2 * i], *streams[i]);
      layer.launch(*ops[i], *streams[i]);
      device.record(*events[2 * i + 1], *streams[i]);
    }
    device.synchronize();
    std::vector<schedule::Span> spans;
    for (std::size_t i = 0; i < 2; ++i) {
      spans.push_back({communicator_.rank(), ops[i]->lane, ops[i]->id, device.time_us(*events[2 * i]),
                       device.time_us(*events[2 * i + 1])});
    }
    durations.add(layer::gather(communicator_, clock_, spans));
  }
  const std::vector<double> both = durations.medians();
  const auto comm = static_cast<std::size_t>(ops[0]->id);
  const auto compute = static_cast<std::size_t>(ops[1]->id);
  interference_ = interference_of({alone_us[compute], alone_us[comm], both[compute], both[comm]});
}

void LayerRuns::finish(Calibration& result) const {
  cost::Machine& machine = result.machine;
  for (const auto& [kernel, samples] : memory_) fit_memory(result, kernel, samples);
  std::vector<Sample> any;
  for (const auto& [exchange, samples] : node_memory_) {
    fit_memory(result, exchange, samples);
    if (!samples.empty()) machine.in_node = bounded(machine.in_node, samples, input_.topology.ranks());
    any.insert(any.end(), samples.begin(), samples.end());
  }
  if (!any.empty()) {
    machine.node_memory = fit_line(any);
    record_fit(result.fits, "links.node_memory", machine.node_memory, any);
    const cost::Line& link = machine.in_node;  // bounded, it has points that no probe of it gave
    if (!link.points.empty()) record_fit(result.fits, "links.in_node", link, samples_of(link.points, link.start_us));
  }
  for (const auto& [shape, points] : gemm_) {
    const auto& [n, k, weight_grad] = shape;
    const cost::GemmCurve& curve = machine.gemm.emplace_back(cost::GemmCurve{n, k, tidy(points), weight_grad});
    record_fit(result.fits, fmt::format("gemm[{}]", machine.gemm.size() - 1), {0, 0, 0, curve.points},
               samples_of(points));
  }
  machine.counts_us = counts_us_;
  machine.interference = interference_;
}

}  // namespace ep::calibration
