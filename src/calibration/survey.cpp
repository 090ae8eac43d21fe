#include "calibration/survey.hpp"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "calibration/probe.hpp"

namespace ep::calibration {

namespace {

constexpr int kSurveyRepeats = 11;
constexpr std::int64_t kLeastBytes = 1 << 10;
constexpr std::int64_t kMostBytes = 4 << 20;
constexpr std::int64_t kStep = 4;
constexpr std::int64_t kMostRankBytes = 64 << 20;  // of all its messages
constexpr double kMostPatternUs = 2e6;

using Messages = std::vector<std::pair<int, int>>;  // from, to

/// Most messages that one rank sends, or receives.
int busiest(const Messages& messages, int ranks) {
  std::vector<int> out(static_cast<std::size_t>(ranks));
  std::vector<int> in(out.size());
  for (const auto& [from, to] : messages) {
    ++out[static_cast<std::size_t>(from)];
    ++in[static_cast<std::size_t>(to)];
  }
  return std::max(*std::max_element(out.begin(), out.end()), *std::max_element(in.begin(), in.end()));
}

SurveyedPattern measure(ExchangeProbe& probe, int ranks, const char* links, std::string pattern,
                        const Messages& messages) {
  SurveyedPattern result{links, std::move(pattern), busiest(messages, ranks), {}, {}};
  for (std::int64_t bytes = kLeastBytes; bytes <= std::min(kMostBytes, kMostRankBytes / result.messages);
       bytes *= kStep) {
    core::Matrix<std::int64_t> traffic(ranks, ranks);
    for (const auto& [from, to] : messages) traffic(from, to) = bytes;
    const double us = probe.time_us(traffic, kSurveyRepeats);
    result.samples.push_back({static_cast<double>(bytes * result.messages), us});
    if (static_cast<double>(kStep) * us * (kSurveyRepeats + 1) > kMostPatternUs) break;
  }
  result.fits = fit_pieces(result.samples);
  return result;
}

Messages all_pairs(const std::vector<int>& ranks) {
  Messages messages;
  for (const int from : ranks)
    for (const int to : ranks)
      if (from != to) messages.emplace_back(from, to);
  return messages;
}

/// One rank to all others of the group, or all others to it.
Messages star(const std::vector<int>& ranks, bool outwards) {
  Messages messages;
  for (const int other : ranks) {
    if (other == ranks[0]) continue;
    messages.emplace_back(outwards ? ranks[0] : other, outwards ? other : ranks[0]);
  }
  return messages;
}

void survey_group(ExchangeProbe& probe, int ranks, const char* links, const std::vector<int>& group,
                  std::vector<SurveyedPattern>& results) {
  if (group.size() < 2) return;
  const int a = group[0];
  const int b = group[1];
  const auto add = [&](std::string pattern, const Messages& messages) {
    results.push_back(measure(probe, ranks, links, std::move(pattern), messages));
  };
  add(fmt::format("rank {} to {}", a, b), {{a, b}});
  add(fmt::format("rank {} to {}", b, a), {{b, a}});
  add("both ways", {{a, b}, {b, a}});
  if (group.size() < 3) return;
  add("one to all", star(group, true));
  add("all to one", star(group, false));
  add("all to all", all_pairs(group));
}

}  // namespace

Survey survey(device::Device& device, exchange::Exchange& exchange, const mpi::Communicator& communicator,
              const mpi::ClockSync& clock, const placement::Topology& topology, const cost::Line& in_node) {
  const int ranks = topology.ranks();
  if (ranks < 2) return {};
  const mpi::ClockSample now = clock.measure();
  const mpi::ClockMap map(now, now);
  ExchangeProbe probe(device, exchange, communicator, map, topology,
                      std::max(kMostPairBytes, std::min(kMostBytes * ranks, kMostRankBytes)));
  std::vector<int> first_node;
  for (int rank = 0; rank < ranks; ++rank) {
    if (topology.same_node(rank, 0)) first_node.push_back(rank);
  }
  std::vector<int> one_a_node;
  for (int node = 0; node < topology.nodes; ++node) one_a_node.push_back(topology.first_rank(node));
  std::vector<SurveyedPattern> results;
  survey_group(probe, ranks, "in node", first_node, results);
  survey_group(probe, ranks, "between nodes", one_a_node, results);
  if (first_node.size() > 1 && one_a_node.size() > 1) {
    std::vector<int> all(static_cast<std::size_t>(ranks));
    std::iota(all.begin(), all.end(), 0);
    results.push_back(measure(probe, ranks, "all", "all to all", all_pairs(all)));
  }
  return {std::move(results), odd_links(probe_pairs_in_nodes(probe, topology, in_node, kSurveyRepeats))};
}

}  // namespace ep::calibration
