#include "calibration/fit.hpp"

#include <algorithm>

namespace ep::calibration {

namespace {

/// Through the origin: the weighted mean of us / bytes.
cost::Line proportional(std::span<const Sample> samples) {
  double weight_sum = 0;
  double slope_sum = 0;
  for (const Sample& s : samples) {
    const double weight = s.bytes * s.bytes / (s.us * s.us);
    weight_sum += weight;
    slope_sum += weight * s.us / s.bytes;
  }
  return {0, 1e-3 * weight_sum / slope_sum};
}

}  // namespace

cost::Line fit_line(std::span<const Sample> samples) {
  double w = 0;
  double wx = 0;
  double wy = 0;
  double wxx = 0;
  double wxy = 0;
  for (const Sample& s : samples) {
    const double weight = 1 / (s.us * s.us);
    w += weight;
    wx += weight * s.bytes;
    wy += weight * s.us;
    wxx += weight * s.bytes * s.bytes;
    wxy += weight * s.bytes * s.us;
  }
  const double determinant = w * wxx - wx * wx;
  const double slope = determinant > 0 ? (w * wxy - wx * wy) / determinant : 0;
  const double latency = slope > 0 ? (wy - slope * wx) / w : 0;
  if (slope > 0 && latency >= 0) return {latency, 1e-3 / slope};
  if (slope > 0) return proportional(samples);
  const auto largest = std::max_element(samples.begin(), samples.end(),
                                        [](const Sample& a, const Sample& b) { return a.bytes < b.bytes; });
  return {0, largest->bytes / largest->us * 1e-3};
}

}  // namespace ep::calibration
