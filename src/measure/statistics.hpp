#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace ep::measure {

/// Which order statistics, counted from 1, enclose the median.
struct IntervalRanks {
  std::int64_t low = 0;
  std::int64_t high = 0;
};

/// Ranks (l, n + 1 - l) of the narrowest symmetric interval that holds the median with at least 95 %: the largest l
/// with P(X < l) <= 2.5 %, X ~ Binomial(n, 1/2), summed exactly for every n. It assumes independent samples and no
/// distribution. n = 30 gives (10, 21), n = 100 gives (40, 61). Null below n = 6, where no such interval exists.
/// Source: David and Nagaraja, "Order Statistics", 3rd edition (2003), section 7.1.
/// @pre samples >= 1
std::optional<IntervalRanks> median_interval_ranks(std::int64_t samples);

/// Order statistics of a sample.
struct Summary {
  double median = 0;
  double p95 = 0;  // nearest rank: the ceil(0.95 n)-th smallest
  double max = 0;
  std::optional<double> ci_low{};  // 95 % interval of the median, by median_interval_ranks
  std::optional<double> ci_high{};
};

/// @pre samples is not empty
Summary summarise(std::span<const double> samples);

/// True when the sample has at least `min_samples` and the interval of its median exists and lies within +-`relative`
/// of it.
bool converged(const Summary& summary, std::int64_t samples, std::int64_t min_samples, double relative);

}  // namespace ep::measure
