#include "calibration/calibrate.hpp"

#include <algorithm>
#include <map>
#include <optional>

#include "calibration/fit.hpp"
#include "calibration/probe.hpp"
#include "core/clock.hpp"
#include "layer/executor.hpp"
#include "layer/layer.hpp"
#include "routing/routing.hpp"
#include "schedule/strategy.hpp"

namespace ep::calibration {

namespace {

constexpr int kRepeats = 5;
constexpr std::int64_t kProbeBytes[] = {64 << 10, 512 << 10, 4 << 20};

/// First pair of ranks on one node, or on two.
std::optional<std::pair<int, int>> find_pair(const placement::Topology& topology, bool same_node) {
  for (int rank = 1; rank < topology.ranks(); ++rank) {
    if (topology.same_node(0, rank) == same_node) return std::pair{0, rank};
  }
  return std::nullopt;
}

/// One direction of one link, nothing else running.
cost::Line probe_link(ExchangeProbe& probe, const placement::Topology& topology, bool same_node) {
  const auto pair = find_pair(topology, same_node);
  if (!pair) return {0, 1};  // no such link: never used
  std::vector<Sample> samples;
  for (const std::int64_t bytes : kProbeBytes) {
    core::Matrix<std::int64_t> traffic(topology.ranks(), topology.ranks());
    traffic(pair->first, pair->second) = bytes;
    samples.push_back({static_cast<double>(bytes), probe.time_us(traffic, kRepeats)});
  }
  return fit_line(samples);
}

void calibrate_links(device::Device& device, exchange::Exchange& exchange, const mpi::Communicator& communicator,
                     cost::Machine& machine) {
  if (communicator.size() < 2) {
    machine.in_node = machine.between_nodes = {0, 1};
    return;
  }
  ExchangeProbe probe(device, exchange, communicator, kProbeBytes[std::size(kProbeBytes) - 1]);
  machine.in_node = probe_link(probe, machine.topology, true);
  machine.between_nodes = probe_link(probe, machine.topology, false);
}

/// Runs of the layer on uniform routings, from which the constants of compute are read.
class LayerRuns {
 public:
  LayerRuns(device::Device& device, exchange::Exchange& exchange, const mpi::Communicator& communicator,
            const CalibrationInput& input)
      : device_(device), exchange_(exchange), communicator_(communicator), input_(input) {}

  /// Returns how long the iterations took, which grows with the tokens; setting up does not.
  double run(std::int64_t tokens) {
    const routing::Routing routing =
        routing::generate("uniform", {tokens, input_.topk, input_.placement.experts(), input_.seed + 1, {}});
    layer::Layer layer(
        device_, exchange_,
        {routing, input_.placement, input_.topology, input_.shape, input_.seed, communicator_.rank(), 1});
    layer::Executor executor(layer);
    const plan::Plan plan = plan::make_plan(routing, input_.placement, input_.topology, 1);
    const schedule::Schedule schedule = schedule::build({"sequential", 1}, plan, input_.shape);
    const double start = core::now_us();
    executor.run(schedule, layer::Phase::whole);
    std::map<int, std::vector<double>> samples;
    for (int i = 0; i < kRepeats; ++i) {
      communicator_.barrier();
      for (const schedule::Span& span : executor.run(schedule, layer::Phase::whole)) {
        samples[span.op].push_back(span.end_us - span.start_us);
      }
    }
    for (const schedule::Operation& op : schedule.ops) record(op, slowest_median(samples[op.id]));
    measure_interference(layer, schedule, samples);
    return core::now_us() - start;
  }

  void finish(cost::Machine& machine) const {
    if (!node_memory_.empty()) machine.node_memory = fit_line(node_memory_);
    if (!node_nic_.empty()) machine.node_nic = fit_line(node_nic_);
    for (const auto& [kernel, samples] : memory_) machine.memory[kernel] = fit_line(samples);
    for (const auto& [shape, points] : gemm_) machine.gemm.push_back({shape.first, shape.second, points});
    machine.counts_us = counts_us_;
    machine.interference = interference_;
  }

 private:
  /// Per repeat the slowest rank, then the median.
  double slowest_median(const std::vector<double>& mine) const {
    const std::vector<double> all = communicator_.gather_all(std::span<const double>(mine));
    std::vector<double> slowest(mine.size());
    for (std::size_t i = 0; i < all.size(); ++i) slowest[i % mine.size()] = std::max(slowest[i % mine.size()], all[i]);
    std::nth_element(slowest.begin(), slowest.begin() + kRepeats / 2, slowest.end());
    return slowest[kRepeats / 2];
  }

  void record(const schedule::Operation& op, double us) {
    if (op.kind == schedule::OpKind::exchange_counts) counts_us_ = us;
    if (op.kind == schedule::OpKind::shared) return;  // made of what the other operations show
    for (const schedule::MemoryWork& work : op.work.memory) {
      const auto bytes = *std::max_element(work.bytes.begin(), work.bytes.end());
      memory_[work.kernel].push_back({static_cast<double>(bytes), us});
    }
    for (const schedule::GemmWork& work : op.work.gemm) record_gemm(work, us);
    for (const schedule::ExchangeWork& work : op.work.exchange) record_exchange(work, us);
  }

  /// All ranks at once load the nodes most: the busiest node's bytes within it, or leaving it, against the time. The
  /// buffers are as the layer leaves them, which is colder than a loop over the same exchange would have them.
  void record_exchange(const schedule::ExchangeWork& work, double us) {
    const placement::Topology& topology = input_.topology;
    std::vector<std::int64_t> within(static_cast<std::size_t>(topology.nodes));
    std::vector<std::int64_t> leaving(within.size());
    for (int source = 0; source < topology.ranks(); ++source) {
      for (int destination = 0; destination < topology.ranks(); ++destination) {
        if (source == destination) continue;
        auto& bytes = topology.same_node(source, destination) ? within : leaving;
        bytes[static_cast<std::size_t>(topology.node_of_rank[static_cast<std::size_t>(source)])] +=
            (*work.rows)(source, destination) * work.row_bytes;
      }
    }
    const auto busiest = [](const std::vector<std::int64_t>& bytes) {
      return static_cast<double>(*std::max_element(bytes.begin(), bytes.end()));
    };
    // Where traffic leaves the nodes, what stays within them does not decide the time.
    if (busiest(leaving) > 0) {
      node_nic_.push_back({busiest(leaving), us});
    } else if (busiest(within) > 0) {
      node_memory_.push_back({busiest(within), us});
    }
  }

  /// Uniform routing gives every expert about the same rows, so one GEMM takes its share of the slowest rank's time.
  void record_gemm(const schedule::GemmWork& work, double us) {
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
    if (groups > 0) gemm_[{work.n, work.k}].push_back({rows / groups, us / groups});
  }

  /// One exchange and one GEMM begin together. The first to end was slowed all along; the other until then.
  void measure_interference(layer::Layer& layer, const schedule::Schedule& schedule,
                            const std::map<int, std::vector<double>>& alone);

  device::Device& device_;
  exchange::Exchange& exchange_;
  const mpi::Communicator& communicator_;
  const CalibrationInput& input_;
  std::map<schedule::OpKind, std::vector<Sample>> memory_;
  std::vector<Sample> node_memory_;
  std::vector<Sample> node_nic_;
  std::map<std::pair<std::int64_t, std::int64_t>, std::vector<cost::GemmCurve::Point>> gemm_;
  double counts_us_ = 0;
  cost::Interference interference_;
};

const schedule::Operation& find(const schedule::Schedule& schedule, schedule::OpKind kind) {
  return *std::find_if(schedule.ops.begin(), schedule.ops.end(),
                       [&](const schedule::Operation& op) { return op.kind == kind; });
}

/// Slow-downs of two tasks that began together, from their times alone and together. Both are at least 1.
cost::Interference solve_interference(double compute_alone, double comm_alone, double compute, double comm) {
  const bool compute_first = compute <= comm;
  const double first_alone = compute_first ? compute_alone : comm_alone;
  const double other_alone = compute_first ? comm_alone : compute_alone;
  const double together = std::min(compute, comm);
  const double rest = std::max(compute, comm) - together;
  const double first = std::max(1.0, together / first_alone);
  const double done = other_alone - rest;  // of the other's work, while both ran
  const double other = done > 0 ? std::max(1.0, together / done) : first;
  return compute_first ? cost::Interference{first, other} : cost::Interference{other, first};
}

void LayerRuns::measure_interference(layer::Layer& layer, const schedule::Schedule& schedule,
                                     const std::map<int, std::vector<double>>& alone) {
  if (communicator_.size() < 2) return;
  const schedule::Operation& comm_op = find(schedule, schedule::OpKind::dispatch);
  const schedule::Operation& compute_op = find(schedule, schedule::OpKind::gate_up);
  device::Device& device = layer.device();
  device::Stream* const streams[] = {&device.comm_stream(), &device.compute_stream()};
  const schedule::Operation* const ops[] = {&comm_op, &compute_op};
  std::vector<double> times[2];
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    communicator_.barrier();
    std::unique_ptr<device::Event> events[4];
    for (auto& event : events) event = device.create_event();
    for (std::size_t i = 0; i < 2; ++i) {
      device.record(*events[2 * i], *streams[i]);
      layer.launch(*ops[i], *streams[i]);
      device.record(*events[2 * i + 1], *streams[i]);
    }
    device.synchronize();
    for (std::size_t i = 0; i < 2; ++i) {
      times[i].push_back(device.time_us(*events[2 * i + 1]) - device.time_us(*events[2 * i]));
    }
  }
  interference_ = solve_interference(slowest_median(alone.at(compute_op.id)), slowest_median(alone.at(comm_op.id)),
                                     slowest_median(times[1]), slowest_median(times[0]));
}

}  // namespace

cost::Machine calibrate(device::Device& device, exchange::Exchange& exchange, const mpi::Communicator& communicator,
                        const CalibrationInput& input) {
  const double start = core::now_us();
  cost::Machine machine;
  machine.origin = "calibrated at start";
  machine.topology = input.topology;
  calibrate_links(device, exchange, communicator, machine);
  LayerRuns runs(device, exchange, communicator, input);
  const std::int64_t least = input.placement.ranks();  // a token a rank
  // Two sizes at least, or nothing tells a fixed cost from one that grows; the whole size when it fits.
  runs.run(std::max(least, input.tokens / 16));
  const double before = core::now_us();
  const double iterations_us = runs.run(std::max(least, input.tokens / 4));
  const double now = core::now_us();
  const double expected = now - start + (now - before - iterations_us) + 4 * iterations_us;
  if (communicator.max(expected) < input.budget_us) runs.run(input.tokens);
  runs.finish(machine);
  return machine;
}

}  // namespace ep::calibration
