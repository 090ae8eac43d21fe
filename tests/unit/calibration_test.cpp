#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "calibration/fit.hpp"

namespace ep::calibration {
namespace {

TEST(FitLine, FindsLatencyAndBandwidth) {
  const std::vector<Sample> samples{{1000, 6}, {10000, 15}, {100000, 105}};  // 5 us + bytes / (1 GB/s)
  const cost::Line line = fit_line(samples);
  EXPECT_NEAR(line.latency_us, 5, 1e-9);
  EXPECT_NEAR(line.gbs, 1, 1e-12);
}

TEST(FitLine, NegativeLatencyBecomesZero) {
  const std::vector<Sample> samples{{1000, 0.5}, {10000, 15}};
  const cost::Line line = fit_line(samples);
  EXPECT_EQ(line.latency_us, 0);
  EXPECT_GT(line.gbs, 0);
}

TEST(FitLine, OneSizeGivesALineThroughTheOrigin) {
  const std::vector<Sample> samples{{1000, 1}, {1000, 1.1}, {1000, 0.9}};
  const cost::Line line = fit_line(samples);
  EXPECT_EQ(line.latency_us, 0);
  EXPECT_NEAR(line.time_us(1000), 1, 0.1);
}

TEST(FitLine, TimesThatFallStayFinite) {
  const std::vector<Sample> samples{{1000, 2}, {2000, 1}};
  const cost::Line line = fit_line(samples);
  EXPECT_TRUE(std::isfinite(line.time_us(4000)));
  EXPECT_GT(line.time_us(4000), 0);
}

TEST(FitLine, SamplesWithoutBytesSayNothing) {
  const std::vector<Sample> samples{{0, 3}, {1000, 1}, {2000, 2}};
  EXPECT_NEAR(fit_line(samples).gbs, 1, 1e-12);
  EXPECT_EQ(fit_line(std::vector<Sample>{{0, 3}}).gbs, 0);
}

TEST(Tidy, SortsMergesAndNeverFalls) {
  const auto points = tidy({{32, 9}, {8, 4}, {8, 6}, {64, 7}});
  ASSERT_EQ(points.size(), 3U);
  EXPECT_DOUBLE_EQ(points[0].us, 5);
  EXPECT_DOUBLE_EQ(points[1].us, 9);
  EXPECT_DOUBLE_EQ(points[2].rows, 64);
  EXPECT_DOUBLE_EQ(points[2].us, 9);
}

TEST(Interference, IsOneWhenNothingIsShared) {
  const cost::Interference found = interference_of({100, 40, 100, 40});
  EXPECT_DOUBLE_EQ(found.compute, 1);
  EXPECT_DOUBLE_EQ(found.comm, 1);
}

TEST(Interference, IsTwoWhenOneCoreDoesBoth) {
  // Equal shares: the shorter takes twice its 40; by then the longer has done 40 of 100 and goes on alone.
  const cost::Interference found = interference_of({100, 40, 140, 80});
  EXPECT_DOUBLE_EQ(found.comm, 2);
  EXPECT_DOUBLE_EQ(found.compute, 2);
}

TEST(Interference, IsNeverBelowOne) {
  const cost::Interference found = interference_of({100, 40, 90, 30});
  EXPECT_DOUBLE_EQ(found.compute, 1);
  EXPECT_DOUBLE_EQ(found.comm, 1);
}

}  // namespace
}  // namespace ep::calibration
