#include "calibration/links.hpp"

#include <algorithm>
#include <functional>
#include <iterator>
#include <optional>
#include <utility>

#include "calibration/fit.hpp"
#include "calibration/line_fit.hpp"
#include "calibration/pairs.hpp"
#include "calibration/probe.hpp"
#include "core/median.hpp"

namespace ep::calibration {

namespace {

using Traffic = core::Matrix<std::int64_t>;

/// What a rank sends: nearly all latency at first, at last longer than what a link lets pass in a burst.
constexpr std::int64_t kProbeBytes[] = {4 << 10, 64 << 10, 512 << 10, 2 << 20};
/// What it sends where all do, to several: as long to each.
constexpr std::int64_t kSharedBytes[] = {12 << 10, 48 << 10, 192 << 10, 768 << 10, 2 << 20, 8 << 20};
constexpr double kRepeats = 15;

/// Times of one pattern of traffic for growing sizes, until one would take more than its share of the calibration's
/// time. Short times are the noisier ones, and the cheaper to repeat; medians of three rounds through the sizes, since
/// what disturbs one time disturbs those that follow it, and the first messages of all take several times as long.
std::vector<Sample> sweep(ExchangeProbe& probe, const CalibrationInput& input, std::span<const std::int64_t> sizes,
                          const std::function<Traffic(std::int64_t)>& traffic_of) {
  constexpr std::size_t kLeastSizes = 3;
  constexpr int kRounds = 3;
  std::vector<std::vector<double>> times;  // [sizes, rounds]
  const auto affordable = [&](double us) { return std::min(kRepeats, 0.2 * input.budget_us / us - 1); };  // one before
  const auto measure = [&](std::size_t i, double repeats) {
    times[i].push_back(probe.time_us(traffic_of(sizes[i]), std::max(1, static_cast<int>(repeats / kRounds))));
  };
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const double growth = i == 0 ? 0 : static_cast<double>(sizes[i]) / static_cast<double>(sizes[i - 1]);
    const double repeats = i == 0 ? kRepeats : affordable(times[i - 1][0] * growth);
    if (repeats < 1 && i >= kLeastSizes) break;
    times.emplace_back();
    measure(i, repeats);
  }
  for (int round = 1; round < kRounds; ++round) {
    for (std::size_t i = 0; i < times.size(); ++i) {
      if (const double repeats = affordable(times[i][0]); repeats >= kRounds) measure(i, repeats);
    }
  }
  std::vector<Sample> samples;
  for (std::size_t i = 0; i < times.size(); ++i)
    samples.push_back({static_cast<double>(sizes[i]), core::median(times[i])});
  return samples;
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

/// The ranks behind `rank`, on its node or on others; enough of them to load its links.
std::vector<int> next_peers(const placement::Topology& topology, int rank, bool same_node) {
  constexpr std::size_t kMostPeers = 16;
  std::vector<int> peers;
  for (int distance = 1; distance < topology.ranks() && peers.size() < kMostPeers; ++distance) {
    const int peer = (rank + distance) % topology.ranks();
    if (topology.same_node(rank, peer) == same_node) peers.push_back(peer);
  }
  return peers;
}

/// A line and what it was made of.
struct MeasuredLine {
  cost::Line line;
  std::vector<Sample> samples;
};

/// One direction of one link, nothing else running.
MeasuredLine probe_link(ExchangeProbe& probe, const CalibrationInput& input, bool same_node) {
  const auto pair = find_pair(input.topology, same_node);
  if (!pair) return {{0, 1}, {}};  // no such link: never used
  const int ranks = input.topology.ranks();
  std::vector<Sample> samples = sweep(probe, input, kProbeBytes, [&](std::int64_t bytes) {
    Traffic traffic(ranks, ranks);
    traffic(pair->first, pair->second) = bytes;
    return traffic;
  });
  const std::vector<int> peers = next_peers(input.topology, pair->first, same_node);
  Traffic fan_out(ranks, ranks);
  for (const int to : peers) fan_out(pair->first, to) = kProbeBytes[0];
  const double fan_out_us = probe.time_us(fan_out, static_cast<int>(kRepeats));
  return {link_line(samples, static_cast<int>(peers.size()), fan_out_us), std::move(samples)};
}

/// The most in one row or column.
double most_of(const std::vector<double>& out, const std::vector<double>& in) {
  return std::max(*std::max_element(out.begin(), out.end()), *std::max_element(in.begin(), in.end()));
}

/// Every rank to the next ones on its node or on others, all at once; the busiest sends or receives `rank_bytes`.
Traffic everyone(const placement::Topology& topology, bool same_node, std::int64_t rank_bytes) {
  Traffic traffic(topology.ranks(), topology.ranks());
  std::vector<double> out(static_cast<std::size_t>(topology.ranks()));
  std::vector<double> in(out.size());
  for (int from = 0; from < topology.ranks(); ++from) {
    for (const int to : next_peers(topology, from, same_node)) {
      traffic(from, to) = 1;
      ++out[static_cast<std::size_t>(from)];
      ++in[static_cast<std::size_t>(to)];
    }
  }
  const auto bytes = static_cast<std::int64_t>(static_cast<double>(rank_bytes) / most_of(out, in));
  for (int from = 0; from < topology.ranks(); ++from) {
    for (int to = 0; to < topology.ranks(); ++to) traffic(from, to) *= bytes;
  }
  return traffic;
}

/// Bytes of the busiest node: within it, or through its link, as a typical link would take them.
double busiest_node_bytes(const Traffic& traffic, const cost::Machine& machine, bool same_node) {
  const placement::Topology& topology = machine.topology;
  std::vector<double> out(static_cast<std::size_t>(topology.nodes));
  std::vector<double> in(out.size());
  for (int source = 0; source < topology.ranks(); ++source) {
    for (int destination = 0; destination < topology.ranks(); ++destination) {
      const int from = topology.node_of_rank[static_cast<std::size_t>(source)];
      const int to = topology.node_of_rank[static_cast<std::size_t>(destination)];
      const auto bytes = static_cast<double>(traffic(source, destination));
      out[static_cast<std::size_t>(from)] += same_node ? bytes : bytes / machine.scale_of(from).egress;
      in[static_cast<std::size_t>(to)] += same_node ? bytes : bytes / machine.scale_of(to).ingress;
    }
  }
  return most_of(out, in);
}

/// What a node's ranks share while all ranks exchange alike: its memory, or its links to others. @pre there is a pair
/// of ranks that is, or is not, on the same node
MeasuredLine probe_together(ExchangeProbe& probe, const CalibrationInput& input, const cost::Machine& machine,
                            bool same_node) {
  const auto traffic_of = [&](std::int64_t bytes) { return everyone(machine.topology, same_node, bytes); };
  std::vector<Sample> samples = sweep(probe, input, kSharedBytes, traffic_of);
  for (std::size_t i = 0; i < samples.size(); ++i)
    samples[i].bytes = busiest_node_bytes(traffic_of(kSharedBytes[i]), machine, same_node);
  return {fit_curve(samples), std::move(samples)};
}

int pair_repeats(double budget_us) {
  constexpr double kRepeatsAUs = 2e-6;
  return std::max(1, static_cast<int>(kRepeatsAUs * budget_us));
}

/// The line of a link that is 1 / `scale` as fast.
MeasuredLine rescaled(MeasuredLine link, double scale) {
  cost::Line& line = link.line;
  const double fixed_us = line.start_us + line.latency_us;
  line.gbs /= scale;
  for (cost::Point& point : line.points) point.us = line.latency_us + (point.us - line.latency_us) * scale;
  for (Sample& sample : link.samples) sample.us = fixed_us + (sample.us - fixed_us) * scale;
  return link;
}

}  // namespace

void calibrate_links(device::Device& device, exchange::Exchange& exchange, const mpi::Communicator& communicator,
                     const mpi::ClockMap& clock, const CalibrationInput& input, Calibration& result) {
  constexpr std::int64_t kMostBytes = std::max(kSharedBytes[std::size(kSharedBytes) - 1], kMostPairBytes);
  const placement::Topology& topology = input.topology;
  ExchangeProbe probe(device, exchange, communicator, clock, topology, kMostBytes);
  cost::Machine& machine = result.machine;
  const auto keep = [&](const char* name, cost::Line& constant, const MeasuredLine& found) {
    constant = found.line;
    record_fit(result.fits, name, constant, found.samples);
  };
  keep("links.in_node", machine.in_node, probe_link(probe, input, true));
  const MeasuredLine probed = probe_link(probe, input, false);
  machine.between_nodes = probed.line;
  if (topology.nodes == 1) return;
  // Where traffic leaves the nodes, exchanges of the layer do not show what a node's memory could do.
  if (find_pair(topology, true))
    keep("links.node_memory", machine.node_memory, probe_together(probe, input, machine, true));
  const NodeLinks links = probe_node_links(probe, topology, machine.between_nodes, pair_repeats(input.budget_us));
  machine.link_scale = links.scale;
  machine.node_nic = {0, links.gbs};
  keep("links.fabric", machine.fabric, probe_together(probe, input, machine, false));
  // What was measured between one pair becomes what a typical pair would do.
  const auto [from, to] = *find_pair(topology, false);
  const auto node = [&](int rank) { return topology.node_of_rank[static_cast<std::size_t>(rank)]; };
  MeasuredLine typical =
      rescaled(probed, std::min(machine.scale_of(node(from)).egress, machine.scale_of(node(to)).ingress));
  // A node's only rank has the whole of its links, whose rate so many pairs tell better than the one that was probed.
  if (topology.ranks() == topology.nodes && typical.line.points.empty()) typical.line.gbs = links.gbs;
  keep("links.between_nodes", machine.between_nodes, typical);
}

std::vector<cost::LinkScale> current_link_scale(device::Device& device, exchange::Exchange& exchange,
                                                const mpi::Communicator& communicator, const mpi::ClockSync& clock,
                                                const CalibrationInput& input, const cost::Line& between_nodes) {
  if (input.topology.nodes == 1) return {};
  const mpi::ClockSample now = clock.measure();
  const mpi::ClockMap map(now, now);
  ExchangeProbe probe(device, exchange, communicator, map, input.topology, kMostPairBytes);
  return probe_node_links(probe, input.topology, between_nodes, pair_repeats(input.budget_us)).scale;
}

}  // namespace ep::calibration
