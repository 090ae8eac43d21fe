#pragma once
#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

namespace ep::core {

/// The middle sample, or the mean of the middle two. @pre sorted is not empty
inline double sorted_median(std::span<const double> sorted) {
  const std::size_t middle = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[middle] : 0.5 * (sorted[middle - 1] + sorted[middle]);
}

/// The same of samples in any order.
inline double median(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  return sorted_median(samples);
}

}  // namespace ep::core
