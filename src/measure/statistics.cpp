#include "measure/statistics.hpp"

#include <algorithm>
#include <cmath>

#include "core/median.hpp"

namespace ep::measure {
namespace {

constexpr double kTail = 0.025;  // on either side of a 95 % interval

}  // namespace

std::optional<IntervalRanks> median_interval_ranks(std::int64_t samples) {
  const auto n = static_cast<double>(samples);
  // Logarithms, since 2^-n is no double beyond n = 1074.
  double log_probability = -n * std::log(2.0);
  double below = std::exp(log_probability);
  std::int64_t low = 0;
  while (below <= kTail) {
    ++low;
    const auto k = static_cast<double>(low);
    log_probability += std::log((n - k + 1) / k);
    below += std::exp(log_probability);
  }
  if (low == 0) return std::nullopt;
  return IntervalRanks{low, samples + 1 - low};
}

Summary summarise(std::span<const double> samples) {
  std::vector<double> sorted(samples.begin(), samples.end());
  std::sort(sorted.begin(), sorted.end());
  const auto count = static_cast<std::int64_t>(sorted.size());
  const auto at_rank = [&sorted](std::int64_t rank) { return sorted[static_cast<std::size_t>(rank - 1)]; };
  Summary summary{.median = core::sorted_median(sorted), .p95 = at_rank((95 * count + 99) / 100), .max = sorted.back()};
  if (const auto ranks = median_interval_ranks(count)) {
    summary.ci_low = at_rank(ranks->low);
    summary.ci_high = at_rank(ranks->high);
  }
  return summary;
}

bool converged(const Summary& summary, std::int64_t samples, std::int64_t min_samples, double relative) {
  return samples >= min_samples && summary.ci_low && *summary.ci_low >= summary.median * (1 - relative) &&
         *summary.ci_high <= summary.median * (1 + relative);
}

}  // namespace ep::measure
