#pragma once
#include <cstdint>
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
/// distribution. n = 30 gives (10, 21), n = 100 gives (40, 61). Below n = 6 no such interval exists: it is (1, n) then.
/// Source: David and Nagaraja, "Order Statistics", 3rd edition (2003), section 7.1.
/// @pre samples >= 1
IntervalRanks median_interval_ranks(std::int64_t samples);

/// Order statistics of a sample.
struct Summary {
  double median = 0;
  double p95 = 0;  // nearest rank: the ceil(0.95 n)-th smallest
  double max = 0;
  double ci_low = 0;  // 95 % interval of the median, by median_interval_ranks
  double ci_high = 0;
};

/// @pre samples is not empty. With fewer than 6 samples no 95 % interval exists: it is [min, max] then.
Summary summarise(std::span<const double> samples);

/// True when the sample has at least `min_samples`, and 6 for an interval to exist, and the interval of its median lies
/// within +-`relative` of it.
bool converged(const Summary& summary, std::int64_t samples, std::int64_t min_samples, double relative);

}  // namespace ep::measure
