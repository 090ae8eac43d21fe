#pragma once
#include <bit>
#include <cfloat>
#include <cmath>
#include <cstdint>

#include "core/random.hpp"

// The logarithm and the exponential of C libraries differ in the last bit from version to version, and one bit decides
// now and then which expert a token goes to. What stands here uses only operations that IEEE 754 rounds exactly
// (+ - * / sqrt), so that a seed means the same routing everywhere.

#if defined(__FAST_MATH__)
#error "routing must be built without -ffast-math: its numbers would differ from machine to machine"
#endif
static_assert(FLT_EVAL_METHOD == 0, "doubles must be computed as doubles, not in wider registers");

namespace ep::routing {

constexpr double kLn2 = 0.693147180559945309417;

/// Natural logarithm, within 1e-15 of the true value relative to it. @pre `x` is positive, finite and not subnormal.
/// x = 2^e * m with m in [sqrt(1/2), sqrt(2)); ln m = 2 artanh(s), s = (m - 1) / (m + 1), |s| < 0.172, by its series.
constexpr double natural_log(double x) {
  constexpr auto kSqrtHalf = std::bit_cast<std::uint64_t>(0.70710678118654752440);
  const auto bits = std::bit_cast<std::uint64_t>(x);
  const std::int64_t exponent = static_cast<std::int64_t>(bits - kSqrtHalf) >> 52;
  const auto m = std::bit_cast<double>(bits - (static_cast<std::uint64_t>(exponent) << 52));
  const double s = (m - 1.0) / (m + 1.0);
  const double z = s * s;
  double series = 1.0 / 21;
  series = series * z + 1.0 / 19;
  series = series * z + 1.0 / 17;
  series = series * z + 1.0 / 15;
  series = series * z + 1.0 / 13;
  series = series * z + 1.0 / 11;
  series = series * z + 1.0 / 9;
  series = series * z + 1.0 / 7;
  series = series * z + 1.0 / 5;
  series = series * z + 1.0 / 3;
  return static_cast<double>(exponent) * kLn2 + (2.0 * s + 2.0 * s * z * series);
}

/// e^x, within 2e-13 of the true value relative to it. @pre |x| <= 700.
/// x = k ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor series to r^14 (remainder below 1e-18).
inline double exponential(double x) {
  const double k = std::floor(x / kLn2 + 0.5);
  const double r = x - k * kLn2;
  double series = 1.0;
  for (int n = 14; n > 0; --n) series = 1.0 + series * r / n;
  return series * std::bit_cast<double>(static_cast<std::uint64_t>(static_cast<std::int64_t>(k) + 1023) << 52);
}

/// A standard normal deviate by the polar method (Marsaglia and Bray, SIAM Review 6, 1964): no cosine needed.
inline double standard_normal(core::Random& random) {
  while (true) {
    const double u = 2.0 * random.uniform() - 1.0;
    const double v = 2.0 * random.uniform() - 1.0;
    const double s = u * u + v * v;
    if (s > 0.0 && s < 1.0) return u * std::sqrt(-2.0 * natural_log(s) / s);
  }
}

}  // namespace ep::routing
