#include "calibration/calibrate.hpp"

#include <algorithm>
#include <iterator>
#include <optional>
#include <vector>

#include "calibration/fit.hpp"
#include "calibration/layer_runs.hpp"
#include "calibration/probe.hpp"
#include "core/clock.hpp"

namespace ep::calibration {

namespace {

constexpr int kRepeats = 5;
constexpr std::int64_t kProbeBytes[] = {64 << 10, 512 << 10, 4 << 20};

/// First pair of ranks on one node, or on two.
std::optional<std::pair<int, int>> find_pair(const placement::Topology& topology, bool same_node) {
  for (int from = 0; from < topology.ranks(); ++from) {
    for (int to = from + 1; to < topology.ranks(); ++to) {
      if (topology.same_node(from, to) == same_node) return std::pair{from, to};
    }
  }
  return std::nullopt;
}

/// One direction of one link, nothing else running. Smaller sizes first: what takes too long is not made larger.
cost::Line probe_link(ExchangeProbe& probe, const CalibrationInput& input, bool same_node) {
  const auto pair = find_pair(input.topology, same_node);
  if (!pair) return {0, 1};  // no such link: never used
  std::vector<Sample> samples;
  for (const std::int64_t bytes : kProbeBytes) {
    core::Matrix<std::int64_t> traffic(input.topology.ranks(), input.topology.ranks());
    traffic(pair->first, pair->second) = bytes;
    samples.push_back({static_cast<double>(bytes), probe.time_us(traffic, kRepeats)});
    constexpr double kGrowth = 8;
    if (samples.size() > 1 && samples.back().us * kGrowth * (kRepeats + 1) > 0.25 * input.budget_us) break;
  }
  return fit_line(samples);
}

/// Every rank to every other one of its node, where exchanges of the layer would load the network too.
cost::Line probe_node_memory(ExchangeProbe& probe, const placement::Topology& topology) {
  std::vector<Sample> samples;
  for (const std::int64_t rank_bytes : kProbeBytes) {
    core::Matrix<std::int64_t> traffic(topology.ranks(), topology.ranks());
    std::vector<std::int64_t> node_bytes(static_cast<std::size_t>(topology.nodes));
    for (int source = 0; source < topology.ranks(); ++source) {
      for (int destination = 0; destination < topology.ranks(); ++destination) {
        if (source == destination || !topology.same_node(source, destination)) continue;
        traffic(source, destination) = rank_bytes / topology.ranks();
        node_bytes[static_cast<std::size_t>(topology.node_of_rank[static_cast<std::size_t>(source)])] +=
            rank_bytes / topology.ranks();
      }
    }
    samples.push_back({static_cast<double>(*std::max_element(node_bytes.begin(), node_bytes.end())),
                       probe.time_us(traffic, kRepeats)});
  }
  return fit_line(samples);
}

void calibrate_links(ExchangeProbe& probe, const CalibrationInput& input, cost::Machine& machine) {
  machine.in_node = probe_link(probe, input, true);
  machine.between_nodes = probe_link(probe, input, false);
  if (input.topology.nodes > 1 && find_pair(input.topology, true)) {
    machine.node_memory = probe_node_memory(probe, input.topology);
  }
}

}  // namespace

cost::Machine calibrate(device::Device& device, exchange::Exchange& exchange, const mpi::Communicator& communicator,
                        const mpi::ClockSync& clock, const CalibrationInput& input) {
  const double start = core::now_us();
  const mpi::ClockSample now = clock.measure();
  const mpi::ClockMap map(now, now);
  cost::Machine machine;
  machine.origin = "calibrated at start";
  machine.topology = input.topology;
  machine.in_node = machine.between_nodes = {0, 1};
  if (communicator.size() > 1) {
    ExchangeProbe probe(device, exchange, communicator, map, kProbeBytes[std::size(kProbeBytes) - 1]);
    calibrate_links(probe, input, machine);
  }
  LayerRuns runs(device, exchange, communicator, map, input);
  // Two sizes at least, or nothing tells a fixed cost from one that grows; the whole size when it fits.
  const std::int64_t least = input.placement.ranks();  // a token a rank
  runs.run(std::max(least, input.tokens / 16), 0.1 * input.budget_us);
  const double before = core::now_us();
  const double iterations_us = runs.run(std::max(least, input.tokens / 4), 0.2 * input.budget_us);
  const double elapsed = core::now_us() - start;
  const double set_up_us = core::now_us() - before - iterations_us;
  if (communicator.max(elapsed + set_up_us + 4 * iterations_us) < input.budget_us) {
    runs.run(input.tokens, 0.5 * input.budget_us);
  }
  runs.finish(machine);
  return machine;
}

}  // namespace ep::calibration
