#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace ep::measure {

/// Order statistics of a sample.
struct Summary {
  double median = 0;
  double p95 = 0;  // nearest rank
  double max = 0;
  double ci_low = 0;  // 95 % interval of the median from order statistics (binomial), no distribution assumed
  double ci_high = 0;
};

/// @pre samples is not empty. With fewer than 6 samples no 95 % interval exists: it is [min, max] then.
Summary summarise(std::span<const double> samples);
double median(std::vector<double> samples);

/// True when the sample has at least `min_samples` and the interval of its median lies within +-`relative` of it.
bool converged(const Summary& summary, std::int64_t samples, std::int64_t min_samples, double relative);

}  // namespace ep::measure
