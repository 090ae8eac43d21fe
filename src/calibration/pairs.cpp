#include "calibration/pairs.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/median.hpp"
#include "exchange/pairing.hpp"

namespace ep::calibration {

namespace {

/// Messages of one pair, one way, that are sent at once.
struct Meeting {
  int from;  // node or rank
  int to;
  std::vector<std::pair<int, int>> messages;  // ranks
};

/// Ranks of every node, in order.
std::vector<std::vector<int>> ranks_of_nodes(const placement::Topology& topology) {
  std::vector<std::vector<int>> ranks(static_cast<std::size_t>(topology.nodes));
  for (int rank = 0; rank < topology.ranks(); ++rank)
    ranks[static_cast<std::size_t>(topology.node_of_rank[static_cast<std::size_t>(rank)])].push_back(rank);
  return ranks;
}

/// Times meetings that share no link.
class PairProbe {
 public:
  PairProbe(ExchangeProbe& probe, int ranks, const cost::Line& line, int repeats)
      : probe_(probe), ranks_(ranks), fixed_us_(line.start_us + line.latency_us), repeats_(repeats) {
    // Long enough for a link to show its rate, behind whatever burst it lets pass.
    constexpr double kUs = 20e3;
    constexpr std::int64_t kLeastBytes = 64 << 10;
    bytes_ = std::clamp(static_cast<std::int64_t>(line.gbs * 1e3 * kUs), kLeastBytes, kMostPairBytes);
  }

  void measure(const std::vector<Meeting>& meetings, core::Matrix<double>& gbs) {
    if (meetings.empty()) return;
    core::Matrix<std::int64_t> traffic(ranks_, ranks_);
    for (const Meeting& meeting : meetings)
      for (const auto& [from, to] : meeting.messages) traffic(from, to) = bytes_;
    const std::vector<double> times = probe_.rank_times_us(traffic, repeats_);
    for (const Meeting& meeting : meetings) {
      double slowest_us = 0;
      for (const auto& message : meeting.messages)
        slowest_us = std::max(slowest_us, times[static_cast<std::size_t>(message.second)]);
      const double moved = static_cast<double>(bytes_) * static_cast<double>(meeting.messages.size());
      if (slowest_us > fixed_us_) gbs(meeting.from, meeting.to) = moved / (slowest_us - fixed_us_) / 1e3;
    }
  }

 private:
  ExchangeProbe& probe_;
  int ranks_;
  double fixed_us_;  // of a message, whatever its size
  int repeats_;
  std::int64_t bytes_ = 0;
};

double upper_median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Values over a typical one, near 1 made 1.
std::vector<double> beside(const std::vector<double>& gbs, double typical) {
  constexpr double kNoise = 0.05;
  std::vector<double> scales;
  for (const double value : gbs) {
    const double scale = value > 0 && typical > 0 ? value / typical : 1;
    scales.push_back(std::abs(scale - 1) < kNoise ? 1 : scale);
  }
  return scales;
}

}  // namespace

NodeLinks node_links(const core::Matrix<double>& pair_gbs) {
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
  std::vector<double> both = egress;
  both.insert(both.end(), ingress.begin(), ingress.end());
  NodeLinks links{upper_median(both), {}};
  const std::vector<double> out = beside(egress, links.gbs);
  const std::vector<double> in = beside(ingress, links.gbs);
  for (std::size_t node = 0; node < nodes; ++node) links.scale.push_back({out[node], in[node]});
  return links;
}

NodeLinks probe_node_links(ExchangeProbe& probe, const placement::Topology& topology, const cost::Line& line,
                           int repeats) {
  constexpr int kMostRounds = 8;
  core::Matrix<double> gbs(topology.nodes, topology.nodes);
  PairProbe pairs(probe, topology.ranks(), line, repeats);
  const auto ranks = ranks_of_nodes(topology);
  for (int round = 0; round < std::min(exchange::rounds(topology.nodes), kMostRounds); ++round) {
    for (const bool upwards : {true, false}) {
      std::vector<Meeting> meetings;
      for (int node = 0; node < topology.nodes; ++node) {
        const int other = exchange::partner(node, round, topology.nodes);
        if (other == node || (node < other) != upwards) continue;
        Meeting meeting{node, other, {}};
        const auto& from = ranks[static_cast<std::size_t>(node)];
        const auto& to = ranks[static_cast<std::size_t>(other)];
        for (std::size_t i = 0; i < std::min(from.size(), to.size()); ++i)
          meeting.messages.emplace_back(from[i], to[i]);
        meetings.push_back(std::move(meeting));
      }
      pairs.measure(meetings, gbs);
    }
  }
  return node_links(gbs);
}

std::vector<OddLink> odd_links(const core::Matrix<double>& pair_gbs) {
  constexpr double kOdd = 0.8;
  std::vector<double> measured;
  for (std::int64_t from = 0; from < pair_gbs.rows(); ++from)
    for (const double gbs : pair_gbs.row(from))
      if (gbs > 0) measured.push_back(gbs);
  std::vector<OddLink> odd;
  if (measured.empty()) return odd;
  const double typical = core::median(measured);
  for (int from = 0; from < static_cast<int>(pair_gbs.rows()); ++from) {
    for (int to = 0; to < static_cast<int>(pair_gbs.rows()); ++to) {
      const double gbs = pair_gbs(from, to);
      if (gbs > 0 && gbs < kOdd * typical) odd.push_back({from, to, gbs / typical});
    }
  }
  std::stable_sort(odd.begin(), odd.end(), [](const OddLink& a, const OddLink& b) { return a.scale < b.scale; });
  return odd;
}

core::Matrix<double> probe_pairs_in_nodes(ExchangeProbe& probe, const placement::Topology& topology,
                                          const cost::Line& line, int repeats) {
  core::Matrix<double> gbs(topology.ranks(), topology.ranks());
  PairProbe pairs(probe, topology.ranks(), line, repeats);
  const auto nodes = ranks_of_nodes(topology);
  int rounds = 0;
  for (const auto& ranks : nodes) rounds = std::max(rounds, exchange::rounds(static_cast<int>(ranks.size())));
  for (int round = 0; round < rounds; ++round) {
    for (const bool upwards : {true, false}) {
      std::vector<Meeting> meetings;
      for (const auto& ranks : nodes) {
        const int players = static_cast<int>(ranks.size());
        for (int player = 0; round < exchange::rounds(players) && player < players; ++player) {
          const int other = exchange::partner(player, round, players);
          if (other == player || (player < other) != upwards) continue;
          const int from = ranks[static_cast<std::size_t>(player)];
          const int to = ranks[static_cast<std::size_t>(other)];
          meetings.push_back({from, to, {{from, to}}});
        }
      }
      pairs.measure(meetings, gbs);
    }
  }
  return gbs;
}

}  // namespace ep::calibration
