#include "calibration/links.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>
#include <utility>

#include "calibration/fit.hpp"
#include "calibration/probe.hpp"
#include "exchange/pairing.hpp"

namespace ep::calibration {

namespace {

constexpr std::int64_t kProbeBytes[] = {64 << 10, 512 << 10, 4 << 20};

/// Short times are the noisier ones, and the cheaper to repeat.
int repeats_of(std::int64_t bytes) {
  return bytes <= kProbeBytes[0] ? 15 : bytes <= kProbeBytes[1] ? 7 : 3;
}

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
    samples.push_back({static_cast<double>(bytes), probe.time_us(traffic, repeats_of(bytes))});
    constexpr double kGrowth = 8;
    if (samples.size() > 1 && samples.back().us * kGrowth * (repeats_of(bytes) + 1) > 0.25 * input.budget_us) break;
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
                       probe.time_us(traffic, repeats_of(rank_bytes))});
  }
  return fit_line(samples);
}

/// Ranks of every node, in order.
std::vector<std::vector<int>> ranks_of_nodes(const placement::Topology& topology) {
  std::vector<std::vector<int>> ranks(static_cast<std::size_t>(topology.nodes));
  for (int rank = 0; rank < topology.ranks(); ++rank)
    ranks[static_cast<std::size_t>(topology.node_of_rank[static_cast<std::size_t>(rank)])].push_back(rank);
  return ranks;
}

/// What every node moves to another one way, GB/s [nodes, nodes]. Nodes meet in tournament rounds, so that no two pairs
/// share a link; the ranks of a node send at once, each to its counterpart. At most kMostRounds rounds: a slow link
/// shows in any of them.
core::Matrix<double> probe_node_pairs(ExchangeProbe& probe, const placement::Topology& topology, std::int64_t bytes) {
  constexpr int kMostRounds = 8;
  constexpr int kPairRepeats = 3;
  core::Matrix<double> gbs(topology.nodes, topology.nodes);
  const auto ranks = ranks_of_nodes(topology);
  for (int round = 0; round < std::min(exchange::rounds(topology.nodes), kMostRounds); ++round) {
    for (const bool upwards : {true, false}) {
      core::Matrix<std::int64_t> traffic(topology.ranks(), topology.ranks());
      const auto receiver = [&](int node) {
        const int other = exchange::partner(node, round, topology.nodes);
        return other != node && (node < other) == upwards ? other : -1;
      };
      const auto for_each_pair = [&](int node, auto&& use) {
        const int other = receiver(node);
        if (other < 0) return;
        const auto& from = ranks[static_cast<std::size_t>(node)];
        const auto& to = ranks[static_cast<std::size_t>(other)];
        for (std::size_t i = 0; i < std::min(from.size(), to.size()); ++i) use(from[i], to[i]);
      };
      for (int node = 0; node < topology.nodes; ++node)
        for_each_pair(node, [&](int from, int to) { traffic(from, to) = bytes; });
      const std::vector<double> times = probe.rank_times_us(traffic, kPairRepeats);
      for (int node = 0; node < topology.nodes; ++node) {
        double slowest_us = 0;
        double moved = 0;
        for_each_pair(node, [&](int, int to) {
          slowest_us = std::max(slowest_us, times[static_cast<std::size_t>(to)]);
          moved += static_cast<double>(bytes);
        });
        if (slowest_us > 0) gbs(node, receiver(node)) = moved / slowest_us / 1e3;
      }
    }
  }
  return gbs;
}

/// Values over their upper median, near 1 made 1.
std::vector<double> beside_peers(const std::vector<double>& gbs) {
  constexpr double kNoise = 0.05;
  std::vector<double> sorted = gbs;
  std::sort(sorted.begin(), sorted.end());
  const double typical = sorted[sorted.size() / 2];
  std::vector<double> scales;
  for (const double value : gbs) {
    const double scale = value > 0 && typical > 0 ? value / typical : 1;
    scales.push_back(std::abs(scale - 1) < kNoise ? 1 : scale);
  }
  return scales;
}

}  // namespace

std::vector<cost::LinkScale> link_scales(const core::Matrix<double>& pair_gbs) {
  const auto nodes = static_cast<std::size_t>(pair_gbs.rows());
  std::vector<double> egress(nodes);
  std::vector<double> ingress(nodes);
  for (std::size_t from = 0; from < nodes; ++from) {
    for (std::size_t to = 0; to < nodes; ++to) {
      const double gbs = pair_gbs(static_cast<std::int64_t>(from), static_cast<std::int64_t>(to));
      egress[from] = std::max(egress[from], gbs);
      ingress[to] = std::max(ingress[to], gbs);
    }
  }
  const std::vector<double> out = beside_peers(egress);
  const std::vector<double> in = beside_peers(ingress);
  std::vector<cost::LinkScale> scales;
  for (std::size_t node = 0; node < nodes; ++node) scales.push_back({out[node], in[node]});
  return scales;
}

void calibrate_links(device::Device& device, exchange::Exchange& exchange, const mpi::Communicator& communicator,
                     const mpi::ClockMap& clock, const CalibrationInput& input, cost::Machine& machine) {
  constexpr std::int64_t kMostBytes = kProbeBytes[std::size(kProbeBytes) - 1];
  const placement::Topology& topology = input.topology;
  ExchangeProbe probe(device, exchange, communicator, clock, kMostBytes);
  machine.in_node = probe_link(probe, input, true);
  machine.between_nodes = probe_link(probe, input, false);
  if (topology.nodes == 1) return;
  if (find_pair(topology, true)) machine.node_memory = probe_node_memory(probe, topology);
  // Long enough for a link to show its rate, behind whatever burst it lets pass.
  constexpr double kPairUs = 20e3;
  const auto bytes =
      std::clamp(static_cast<std::int64_t>(machine.between_nodes.gbs * 1e3 * kPairUs), kProbeBytes[0], kMostBytes);
  machine.link_scale = link_scales(probe_node_pairs(probe, topology, bytes));
  // What was measured between one pair becomes what a typical pair would do.
  const auto [from, to] = *find_pair(topology, false);
  const auto node = [&](int rank) { return topology.node_of_rank[static_cast<std::size_t>(rank)]; };
  machine.between_nodes.gbs /= std::min(machine.scale_of(node(from)).egress, machine.scale_of(node(to)).ingress);
}

}  // namespace ep::calibration
