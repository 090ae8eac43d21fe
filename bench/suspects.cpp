#include "bench/suspects.hpp"

#include <algorithm>

#include "measure/statistics.hpp"

namespace ep::bench {

namespace {

// Between launches on an idle machine, ranks differ by up to a tenth.
constexpr double kSlowCompute = 1.25;
constexpr double kSlowLink = 1 / 0.9;

std::string host_of_node(const RowContext& context, int node) {
  const auto& nodes = context.job.topology.node_of_rank;
  const auto first = std::find(nodes.begin(), nodes.end(), node);
  return context.hosts[static_cast<std::size_t>(first - nodes.begin())];
}

/// Median over iterations of the time each rank's compute stream is busy, [ranks].
std::vector<double> compute_us(const Samples& samples, int ranks) {
  std::vector<std::vector<double>> busy(static_cast<std::size_t>(ranks));
  for (const schedule::Timeline& timeline : samples.iterations) {
    for (auto& rank : busy) rank.push_back(0);
    for (const schedule::Span& span : timeline.spans) {
      if (span.lane == schedule::Lane::compute)
        busy[static_cast<std::size_t>(span.rank)].back() += span.end_us - span.start_us;
    }
  }
  std::vector<double> medians;
  for (auto& rank : busy) medians.push_back(measure::median(std::move(rank)));
  return medians;
}

/// What the model gives each rank's compute, with nothing beside it, [ranks].
std::vector<double> expected_us(const schedule::Schedule& schedule, const cost::Prediction& prediction, int ranks) {
  std::vector<double> expected(static_cast<std::size_t>(ranks));
  for (const schedule::Operation& op : schedule.ops) {
    if (op.lane != schedule::Lane::compute) continue;
    const auto& rank_us = prediction.operations[static_cast<std::size_t>(op.id)].rank_us;
    for (std::size_t rank = 0; rank < expected.size(); ++rank) expected[rank] += rank_us[rank];
  }
  return expected;
}

}  // namespace

std::vector<measure::Suspect> find_suspects(const RowContext& context, const schedule::Schedule& schedule,
                                            const Samples& samples, const cost::Prediction& prediction) {
  std::vector<measure::Suspect> suspects;
  for (int node = 0; node < std::ssize(context.machine.link_scale); ++node) {
    const cost::LinkScale scale = context.machine.scale_of(node);
    if (1 / scale.egress > kSlowLink)
      suspects.push_back({"node egress", node, host_of_node(context, node), 1 / scale.egress});
    if (1 / scale.ingress > kSlowLink)
      suspects.push_back({"node ingress", node, host_of_node(context, node), 1 / scale.ingress});
  }
  const int ranks = context.job.topology.ranks();
  const std::vector<double> measured = compute_us(samples, ranks);
  const std::vector<double> expected = expected_us(schedule, prediction, ranks);
  std::vector<double> shares;
  for (std::size_t rank = 0; rank < measured.size(); ++rank)
    shares.push_back(expected[rank] > 0 ? measured[rank] / expected[rank] : 1);
  for (int rank = 0; ranks > 1 && rank < ranks; ++rank) {
    std::vector<double> peers = shares;
    peers.erase(peers.begin() + rank);
    const double slowdown = shares[static_cast<std::size_t>(rank)] / measure::median(std::move(peers));
    if (slowdown > kSlowCompute)
      suspects.push_back({"compute", rank, context.hosts[static_cast<std::size_t>(rank)], slowdown});
  }
  std::stable_sort(suspects.begin(), suspects.end(),
                   [](const auto& a, const auto& b) { return a.slowdown > b.slowdown; });
  return suspects;
}

}  // namespace ep::bench
