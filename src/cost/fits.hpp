#pragma once
#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <vector>

// How far measurements support the constants of a Machine. Kept beside it: no prediction reads this.
namespace ep::cost {

/// A constant and its interval at 95 %, which holds it.
struct Estimate {
  double value = 0;
  double low = 0;
  double high = 0;
};

/// What a size took, in bytes or rows, and how far the line is off: (line - us) / us.
struct FittedSample {
  double size = 0;
  double us = 0;
  double residual = 0;
};

/// Of the line that a constant is; where the model goes through points, of the one line that did not do.
struct Fit {
  std::optional<double> r_squared;    // weighted by 1 / us^2; none of fewer than three sizes
  std::optional<Estimate> fixed_us;   // start_us + latency_us; none where unsupported, or through points
  std::optional<Estimate> gbs;        // likewise
  std::vector<FittedSample> samples;  // at least one, ascending in size

  [[nodiscard]] double worst_residual() const {
    double worst = 0;
    for (const FittedSample& sample : samples) worst = std::max(worst, std::abs(sample.residual));
    return worst;
  }
};

/// By the constant's place in a cluster file: links.in_node, kernels.pack, gemm[0].
using Fits = std::map<std::string, Fit>;

}  // namespace ep::cost
