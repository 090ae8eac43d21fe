#include "bench/suspects.hpp"

#include <algorithm>

#include "core/median.hpp"

namespace ep::bench {

namespace {

// Cores of a quiet virtual machine were seen to differ by a quarter for seconds on end (docs/accuracy.md).
constexpr double kSlowCompute = 1.35;
constexpr double kSlowLink = 1 / 0.9;

std::string host_of_node(const RowContext& context, int node) {
  return context.hosts[static_cast<std::size_t>(context.job.topology.first_rank(node))];
}

/// Quartiles over iterations of the time a rank's compute stream is busy.
struct Busy {
  double low_us = 0;
  double median_us = 0;
  double high_us = 0;
};

/// [ranks]
std::vector<Busy> compute_us(const Samples& samples, int ranks) {
  std::vector<std::vector<double>> busy(static_cast<std::size_t>(ranks));
  for (const schedule::Timeline& timeline : samples.iterations) {
    for (auto& rank : busy) rank.push_back(0);
    for (const schedule::Span& span : timeline.spans) {
      if (span.lane == schedule::Lane::compute)
        busy[static_cast<std::size_t>(span.rank)].back() += span.end_us - span.start_us;
    }
  }
  std::vector<Busy> quartiles;
  for (auto& rank : busy) {
    std::sort(rank.begin(), rank.end());
    const std::size_t last = rank.size() - 1;
    quartiles.push_back({rank[last / 4], core::median(rank), rank[last - last / 4]});
  }
  return quartiles;
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
  std::vector<Busy> share = compute_us(samples, ranks);
  const std::vector<double> expected = expected_us(schedule, prediction, ranks);
  for (std::size_t rank = 0; rank < share.size(); ++rank) {
    if (expected[rank] <= 0) continue;  // no work: no share, and never slow
    share[rank] = {share[rank].low_us / expected[rank], share[rank].median_us / expected[rank],
                   share[rank].high_us / expected[rank]};
  }
  for (int rank = 0; ranks > 1 && rank < ranks; ++rank) {
    const Busy& mine = share[static_cast<std::size_t>(rank)];
    std::vector<double> medians;
    std::vector<double> highs;
    for (int peer = 0; peer < ranks; ++peer) {
      if (peer == rank) continue;
      medians.push_back(share[static_cast<std::size_t>(peer)].median_us);
      highs.push_back(share[static_cast<std::size_t>(peer)].high_us);
    }
    const double slowdown = mine.median_us / core::median(std::move(medians));
    // Slower all the time, not in some iterations: what disturbs a rank now and then is noise.
    if (slowdown > kSlowCompute && mine.low_us > core::median(std::move(highs)))
      suspects.push_back({"compute", rank, context.hosts[static_cast<std::size_t>(rank)], slowdown});
  }
  std::stable_sort(suspects.begin(), suspects.end(),
                   [](const auto& a, const auto& b) { return a.slowdown > b.slowdown; });
  return suspects;
}

}  // namespace ep::bench
