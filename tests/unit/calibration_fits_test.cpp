#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "calibration/fit.hpp"
#include "calibration/line_fit.hpp"

namespace ep::calibration {
namespace {

std::vector<Sample> exact(double fixed_us, double gbs, std::initializer_list<double> sizes) {
  std::vector<Sample> samples;
  for (const double bytes : sizes) samples.push_back({bytes, fixed_us + bytes / (gbs * 1e3)});
  return samples;
}

TEST(FitOf, AnExactLineExplainsAll) {
  const auto samples = exact(5, 2, {1e6, 1e4, 1e5});  // in any order
  const cost::Fit fit = fit_of(fit_curve(samples), samples);
  EXPECT_NEAR(fit.r_squared.value(), 1, 1e-12);
  EXPECT_LT(fit.worst_residual(), 1e-12);
  EXPECT_NEAR(fit.fixed_us.value().value, 5, 1e-9);
  EXPECT_NEAR(fit.fixed_us->high - fit.fixed_us->low, 0, 1e-6);
  EXPECT_NEAR(fit.gbs.value().value, 2, 1e-9);
  ASSERT_EQ(fit.samples.size(), 3U);
  EXPECT_EQ(fit.samples.front().size, 1e4);
  EXPECT_EQ(fit.samples.front().us, 10);
  EXPECT_EQ(fit.samples.back().size, 1e6);
}

/// At 95 % one of twenty misses; of 400 no fewer than 368 hold in all but one of a million tries.
TEST(FitOf, IntervalsHoldTheTruthOfANoisyLineAsOftenAsTheySay) {
  std::mt19937 random(1);
  std::normal_distribution<double> noise(0, 0.01);
  int fixed_held = 0;
  int rate_held = 0;
  constexpr int kTries = 400;
  for (int i = 0; i < kTries; ++i) {
    auto samples = exact(20, 2, {1e4, 4e4, 1.6e5, 6.4e5});
    for (Sample& sample : samples) sample.us *= 1 + noise(random);
    const cost::Fit fit = fit_of(fit_line(samples), samples);
    ASSERT_TRUE(fit.fixed_us && fit.gbs);
    EXPECT_LT(*fit.r_squared, 1);
    EXPECT_GT(fit.worst_residual(), 0);
    fixed_held += fit.fixed_us->low < 20 && 20 < fit.fixed_us->high ? 1 : 0;
    rate_held += fit.gbs->low < 2 && 2 < fit.gbs->high ? 1 : 0;
  }
  EXPECT_TRUE(fixed_held > 368 && fixed_held < kTries) << fixed_held;
  EXPECT_TRUE(rate_held > 368 && rate_held < kTries) << rate_held;
}

TEST(FitOf, FewerThanThreeSizesSupportNothing) {
  for (const auto& samples : {exact(5, 2, {1e4, 1e6}), exact(5, 2, {1e4, 1e6, 1e6}), exact(5, 2, {1e4})}) {
    const cost::Fit fit = fit_of(fit_line(samples), samples);
    EXPECT_FALSE(fit.r_squared || fit.fixed_us || fit.gbs);
    EXPECT_EQ(fit.samples.size(), samples.size());
  }
}

TEST(FitOf, WhatTheIntervalDoesNotTellFromZeroIsWithheld) {
  const std::vector<Sample> samples{{1e4, 5.4}, {1e5, 48}, {1e6, 510}};  // 0.3 us beside some per cent of 5
  const cost::Fit fit = fit_of(fit_line(samples), samples);
  EXPECT_FALSE(fit.fixed_us);
  EXPECT_TRUE(fit.gbs);
}

/// As that of a link may be, which takes the rate of its longest messages.
TEST(FitOf, WhatItsOwnIntervalDoesNotHoldIsWithheld) {
  const std::vector<Sample> samples{{4e3, 12.1}, {1.6e4, 17.9}, {6.4e4, 42.2}, {2.56e5, 137}};  // 10 us, 2 GB/s
  cost::Line line = fit_line(samples);
  EXPECT_TRUE(fit_of(line, samples).gbs);
  line.gbs = 1.8;
  EXPECT_FALSE(fit_of(line, samples).gbs);
  EXPECT_TRUE(fit_of(line, samples).fixed_us);
}

TEST(FitOf, FixedTimeOfALinkIsWithItsStart) {
  const auto samples = exact(12, 2, {4e3, 6.4e4, 5.12e5, 2.048e6});
  const cost::Line link = link_line(samples, 4, samples[0].us + 3 * 4);  // 2 us of each further message are its bytes
  ASSERT_NEAR(link.latency_us, 2, 1e-9);
  const cost::Fit fit = fit_of(link, samples);
  EXPECT_NEAR(fit.fixed_us.value().value, 12, 1e-9);
  EXPECT_LT(fit.worst_residual(), 1e-9);
}

TEST(FitOf, PointsTellHowFarOneLineMisses) {
  const std::vector<Sample> samples{{1e4, 10}, {1e5, 60}, {1e6, 1500}};
  const cost::Line curve = fit_curve(samples);
  ASSERT_FALSE(curve.points.empty());
  const cost::Line one = fit_line(samples);
  const cost::Fit fit = fit_of(curve, samples);
  EXPECT_FALSE(fit.fixed_us || fit.gbs);
  EXPECT_TRUE(fit.r_squared);
  EXPECT_GT(fit.worst_residual(), 0.1);
  for (const auto& [size, us, residual] : fit.samples) EXPECT_NEAR(us * (1 + residual), one.time_us(size), 1e-9);
}

TEST(RecordFit, LeavesOutWhatNoSampleTellsOf) {
  cost::Fits fits;
  record_fit(fits, "links.in_node", {0, 1}, {});
  record_fit(fits, "kernels.pack", {}, std::vector<Sample>{{0, 3}});
  EXPECT_TRUE(fits.empty());
  record_fit(fits, "kernels.pack", {1, 1}, std::vector<Sample>{{0, 3}, {1e3, 2}});
  EXPECT_EQ(fits.at("kernels.pack").samples.size(), 1U);
}

}  // namespace
}  // namespace ep::calibration
