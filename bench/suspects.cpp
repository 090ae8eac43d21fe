#include "bench/suspects.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/median.hpp"

namespace ep::bench {

namespace {

// Alone, a rank's time has to be far off: cores of a quiet virtual machine were seen to differ by up to 1.6 for seconds
// on end (docs/accuracy.md). One whose work waited for a core where its peers' did not was disturbed for certain.
constexpr double kSlowUnexplained = 1.35;  // where waiting is not known
constexpr double kSlowWithCore = 2;
constexpr double kSlowWithoutCore = 1.2;
constexpr double kLackedCore = 0.2;  // of its compute time
constexpr double kHadCore = 0.1;     // the rank's own other threads take 0.05 to 0.07
constexpr double kSlowLink = 1 / 0.9;

std::string host_of_node(const Evidence& evidence, int node) {
  return evidence.hosts[static_cast<std::size_t>(evidence.topology.first_rank(node))];
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

/// [ranks] part of a rank's compute time for which its work had no core, median over iterations; none where not known.
std::vector<std::optional<double>> waited_shares(const Samples& samples, const std::vector<Busy>& busy) {
  std::vector<std::optional<double>> shares;
  for (std::size_t rank = 0; rank < busy.size(); ++rank) {
    const double waited_us = core::median(samples.waited_us[rank]);
    const bool known = waited_us >= 0 && busy[rank].median_us > 0;
    shares.push_back(known ? std::optional(waited_us / busy[rank].median_us) : std::nullopt);
  }
  return shares;
}

/// Median of what the other ranks have.
template <class Value>
double of_peers(const std::vector<std::size_t>& ranks, std::size_t rank, Value value) {
  std::vector<double> values;
  for (const std::size_t peer : ranks) {
    if (peer != rank) values.push_back(value(peer));
  }
  return core::median(std::move(values));
}

std::vector<measure::Suspect> slow_ranks(const Evidence& evidence) {
  std::vector<measure::Suspect> suspects;
  const int ranks = evidence.topology.ranks();
  const std::vector<Busy> busy = compute_us(evidence.samples, ranks);
  const std::vector<double> expected = expected_us(evidence.schedule, evidence.prediction, ranks);
  const std::vector<std::optional<double>> waited = waited_shares(evidence.samples, busy);
  std::vector<std::size_t> working;  // the others are neither slow nor peers
  for (std::size_t rank = 0; rank < expected.size(); ++rank) {
    if (expected[rank] > 0) working.push_back(rank);
  }
  if (working.size() < 2) return suspects;
  const auto peers = [&](std::size_t rank, double Busy::*us) {
    return of_peers(working, rank, [&](std::size_t peer) { return busy[peer].*us / expected[peer]; });
  };
  for (const std::size_t rank : working) {
    const double slowdown = busy[rank].median_us / expected[rank] / peers(rank, &Busy::median_us);
    const double peers_waited = of_peers(working, rank, [&](std::size_t peer) { return waited[peer].value_or(0); });
    const bool lacked_core = waited[rank].value_or(0) > kLackedCore && peers_waited < kHadCore;
    // Slower all the time, not in some iterations: what disturbs a rank now and then is noise.
    const bool always = busy[rank].low_us / expected[rank] > peers(rank, &Busy::high_us);
    if (lacked_core ? slowdown > kSlowWithoutCore
                    : always && slowdown > (waited[rank] ? kSlowWithCore : kSlowUnexplained))
      suspects.push_back({"compute", static_cast<int>(rank), evidence.hosts[rank], slowdown, waited[rank]});
  }
  return suspects;
}

}  // namespace

std::vector<measure::Suspect> find_suspects(const Evidence& evidence) {
  std::vector<measure::Suspect> suspects;
  for (int node = 0; node < std::ssize(evidence.link_scale); ++node) {
    const cost::LinkScale scale = evidence.link_scale[static_cast<std::size_t>(node)];
    if (1 / scale.egress > kSlowLink)
      suspects.push_back({"node egress", node, host_of_node(evidence, node), 1 / scale.egress});
    if (1 / scale.ingress > kSlowLink)
      suspects.push_back({"node ingress", node, host_of_node(evidence, node), 1 / scale.ingress});
  }
  const std::vector<measure::Suspect> slow = slow_ranks(evidence);
  suspects.insert(suspects.end(), slow.begin(), slow.end());
  std::stable_sort(suspects.begin(), suspects.end(),
                   [](const auto& a, const auto& b) { return a.slowdown > b.slowdown; });
  return suspects;
}

}  // namespace ep::bench
