#include <cmath>

#include <gtest/gtest.h>

#include "routing/portable_math.hpp"

namespace ep::routing {
namespace {

double relative_error(double value, double reference) {
  return reference == 0.0 ? std::abs(value) : std::abs((value - reference) / reference);
}

TEST(PortableMath, NaturalLogAgreesWithTheLibraryOverAllExponents) {
  core::Random random(1, 1);
  for (int exponent = -1000; exponent <= 1000; ++exponent) {
    for (int i = 0; i < 20; ++i) {
      const double x = std::ldexp(1.0 + random.uniform(), exponent);
      ASSERT_LT(relative_error(natural_log(x), std::log(x)), 1e-15) << "x = " << x;
    }
  }
}

TEST(PortableMath, NaturalLogKeepsItsRelativeErrorNearOne) {
  EXPECT_EQ(natural_log(1.0), 0.0);
  for (const double x : {1.0 - 0x1p-53, 1.0 + 0x1p-52, 1.0 - 1e-9, 1.0 + 1e-9, 0.99, 1.01, 0.70710678118654746,
                         0.70710678118654757, 1.4142135623730949, 1.4142135623730951}) {
    EXPECT_LT(relative_error(natural_log(x), std::log(x)), 1e-15) << "x = " << x;
  }
}

TEST(PortableMath, NaturalLogTakesTheExtremesOfTheUniformGenerator) {
  EXPECT_LT(relative_error(natural_log(0x1p-53), -53 * std::log(2.0)), 1e-15);
  EXPECT_LT(natural_log(1.0 - 0x1p-53), 0.0);
}

TEST(PortableMath, ExponentialAgreesWithTheLibrary) {
  EXPECT_EQ(exponential(0.0), 1.0);
  for (double x = -700.0; x <= 700.0; x += 0.0713) {
    ASSERT_LT(relative_error(exponential(x), std::exp(x)), 2e-13) << "x = " << x;
  }
}

TEST(PortableMath, BitsAreTheSameEverywhere) {
  // Computed by the same formulas in another language: what a C library would not promise.
  EXPECT_EQ(natural_log(3.0), 0x1.193ea7aad030ap+0);
  EXPECT_EQ(natural_log(0.1), -0x1.26bb1bbb55515p+1);
  EXPECT_EQ(exponential(1.0), 0x1.5bf0a8b14576ap+1);
  EXPECT_EQ(exponential(-12.345), 0x1.240572f47cb82p-18);
}

TEST(PortableMath, NormalDeviatesHaveTheMomentsAndTailsOfANormal) {
  constexpr int kDraws = 400000;
  core::Random random(7, 3);
  double sum = 0;
  double squares = 0;
  double fourth = 0;
  int beyond_two = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double z = standard_normal(random);
    sum += z;
    squares += z * z;
    fourth += z * z * z * z;
    beyond_two += std::abs(z) > 2.0 ? 1 : 0;
  }
  // Five standard errors of each: 1/sqrt(n), sqrt(2/n), sqrt(96/n), sqrt(p(1-p)/n).
  EXPECT_NEAR(sum / kDraws, 0.0, 0.008);
  EXPECT_NEAR(squares / kDraws, 1.0, 0.012);
  EXPECT_NEAR(fourth / kDraws, 3.0, 0.08);
  EXPECT_NEAR(static_cast<double>(beyond_two) / kDraws, 0.0455, 0.0017);
}

}  // namespace
}  // namespace ep::routing
