#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "calibration/fit.hpp"
#include "calibration/line_fit.hpp"
#include "calibration/pairs.hpp"

namespace ep::calibration {
namespace {

TEST(FitLine, FindsLatencyAndBandwidth) {
  const std::vector<Sample> samples{{1000, 6}, {10000, 15}, {100000, 105}};  // 5 us + bytes / (1 GB/s)
  const cost::Line line = fit_line(samples);
  EXPECT_NEAR(line.latency_us, 5, 1e-9);
  EXPECT_NEAR(line.gbs, 1, 1e-12);
}

TEST(FitLine, WhereLatencyWouldBeNegativeTheMedianRateHolds) {
  const std::vector<Sample> samples{{1000, 0.1}, {10000, 10}, {100000, 101}};  // the first far too short
  const cost::Line line = fit_line(samples);
  EXPECT_EQ(line.latency_us, 0);
  EXPECT_NEAR(line.gbs, 1, 1e-12);
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

std::vector<Sample> on_line(double latency_us, double gbs, std::initializer_list<double> off) {
  std::vector<Sample> samples;
  double bytes = 1024;
  for (const double relative : off) {
    samples.push_back({bytes, (latency_us + bytes / (gbs * 1e3)) * (1 + relative)});
    bytes *= 4;
  }
  return samples;
}

/// 100 us once, 20 us for every message, 2 GB/s; the middle size takes two packets more.
TEST(LinkLine, TellsOnceFromEveryMessageAndTakesTheRateOfTheLongest) {
  const std::vector<Sample> samples{{4000, 122}, {64000, 192}, {512000, 376}, {2048000, 1144}};
  const cost::Line line = link_line(samples, 4, 122 + 3 * 22);
  EXPECT_NEAR(line.gbs, 2, 1e-9);
  EXPECT_NEAR(line.latency_us, 20, 1e-9);
  EXPECT_NEAR(line.start_us, 100, 1e-9);
  for (const Sample& sample : samples) EXPECT_NEAR(line.start_us + line.time_us(sample.bytes), sample.us, 1e-9);
}

TEST(LinkLine, HasPointsOnlyWhereItNeedsThem) {
  EXPECT_TRUE(link_line(on_line(50, 0.1, {0, 0.05, -0.05, 0.02}), 1, 0).points.empty());
  const std::vector<Sample> two_protocols{{4000, 12}, {64000, 42}, {512000, 600}, {2048000, 1368}};
  const cost::Line line = link_line(two_protocols, 1, 0);
  ASSERT_EQ(line.points.size(), 4U);
  EXPECT_DOUBLE_EQ(line.time_us(64000), 42);
  EXPECT_DOUBLE_EQ(line.transfer_us(2 * 64000, 2), 2 * line.transfer_us(64000));
  // 5 us for every message, and what is paid once apart from the points.
  const cost::Line many = link_line(two_protocols, 4, 12 + 3 * (5 + 4000 / 2e3));
  EXPECT_GT(many.start_us, 0);
  EXPECT_FALSE(many.points.empty());
  for (const Sample& sample : two_protocols) EXPECT_NEAR(many.start_us + many.time_us(sample.bytes), sample.us, 1e-9);
}

TEST(LinkLine, OnePeerTellsNoDifference) {
  const std::vector<Sample> samples{{4000, 12}, {64000, 42}};
  const cost::Line line = link_line(samples, 1, 0);
  EXPECT_NEAR(line.gbs, 2, 1e-9);
  EXPECT_NEAR(line.latency_us, 10, 1e-9);
  EXPECT_EQ(line.start_us, 0);
}

TEST(LinkLine, NothingIsNegative) {
  const std::vector<Sample> burst{{4000, 1}, {64000, 500}, {128000, 400}};  // the longer took less
  const cost::Line falling = link_line(burst, 3, 0.1);
  EXPECT_NEAR(falling.gbs, 0.32, 1e-9);
  EXPECT_EQ(falling.latency_us, 0);
  EXPECT_EQ(falling.start_us, 0);
  EXPECT_GT(falling.transfer_us(1e6), falling.transfer_us(5e5));
  const std::vector<Sample> samples{{4000, 12}, {64000, 42}};
  const cost::Line quick = link_line(samples, 3, 6);  // three at once took less than one
  EXPECT_EQ(quick.latency_us, 0);
  EXPECT_NEAR(quick.start_us, 10, 1e-9);
}

TEST(FitPieces, OneLineWithItsIntervals) {
  const auto fits = fit_pieces(on_line(5, 2, {0.02, -0.01, 0.01, -0.02, 0.02, -0.01, 0.01}));
  ASSERT_EQ(fits.size(), 1U);
  const LineFit& fit = fits[0];
  EXPECT_NEAR(fit.latency_us, 5, 0.2);
  EXPECT_NEAR(fit.gbs, 2, 0.1);
  EXPECT_TRUE(fit.latency_interval.low < 5 && 5 < fit.latency_interval.high);
  EXPECT_TRUE(fit.gbs_interval.low < 2 && 2 < fit.gbs_interval.high);
  EXPECT_TRUE(fit.supports_latency() && fit.supports_gbs());
  EXPECT_GT(fit.r_squared, 0.98);
  EXPECT_LT(fit.worst_residual, 0.04);
  EXPECT_EQ(fit.from_bytes, 1024);
  EXPECT_EQ(fit.to_bytes, 4 << 20);
}

TEST(FitPieces, FiguresAreThoseOfTheFormulas) {
  // By hand, weights 1, 1/4, 1/4: sums w 1.5, x 2.25, y 2, xx 4.25, xy 3.5, determinant 1.3125. One degree of freedom
  // is left, for which t is 12.706: nothing is supported.
  const auto fits = fit_pieces(std::vector<Sample>{{1, 1}, {2, 2}, {3, 2}});
  ASSERT_EQ(fits.size(), 1U);
  const double slope = 0.75 / 1.3125;
  const double latency = (2 - 2.25 * slope) / 1.5;
  EXPECT_NEAR(fits[0].gbs, 1e-3 / slope, 1e-12);
  EXPECT_NEAR(fits[0].latency_us, latency, 1e-12);
  const double variance = 0.047619;  // of the relative residuals 1/21, -4/21, 2/21
  EXPECT_NEAR(fits[0].latency_interval.high - latency, 12.7062 * std::sqrt(variance * 4.25 / 1.3125), 1e-3);
  EXPECT_FALSE(fits[0].supports_latency());
  EXPECT_FALSE(fits[0].supports_gbs());
}

TEST(FitPieces, TwoLinesWhereTheProtocolChanges) {
  auto samples = on_line(2, 1, {0.01, -0.01, 0.005, -0.01});
  for (const double bytes : {262144.0, 1048576.0, 4194304.0}) samples.push_back({bytes, 30 + bytes / 10e3});
  const auto fits = fit_pieces(samples);
  ASSERT_EQ(fits.size(), 2U);
  EXPECT_EQ(fits[0].to_bytes, 65536);
  EXPECT_EQ(fits[1].from_bytes, 262144);
  EXPECT_NEAR(fits[0].gbs, 1, 0.1);
  EXPECT_NEAR(fits[1].gbs, 10, 0.1);
  EXPECT_NEAR(fits[1].latency_us, 30, 0.1);
}

TEST(FitPieces, NoiseIsNotTwoLinesAndSupportsNothing) {
  const auto fits = fit_pieces(on_line(5, 2, {0.5, -0.5, 0.4, -0.4, 0.5, -0.5, 0.5}));
  ASSERT_EQ(fits.size(), 1U);
  EXPECT_GT(fits[0].worst_residual, 0.2);
  EXPECT_FALSE(fits[0].supports_latency() && fits[0].supports_gbs());
  EXPECT_TRUE(fit_pieces(on_line(5, 2, {0, 0})).empty());
}

/// What pairs of nodes move when their links move these.
core::Matrix<double> pairs(const std::vector<double>& egress, const std::vector<double>& ingress) {
  const auto nodes = static_cast<std::int64_t>(egress.size());
  core::Matrix<double> gbs(nodes, nodes);
  for (std::int64_t from = 0; from < nodes; ++from)
    for (std::int64_t to = 0; to < nodes; ++to)
      if (from != to)
        gbs(from, to) = std::min(egress[static_cast<std::size_t>(from)], ingress[static_cast<std::size_t>(to)]);
  return gbs;
}

TEST(NodeLinks, FindTheSlowDirectionOfOneNode) {
  const NodeLinks links = node_links(pairs({1, 1, 0.8, 1}, {1, 1, 1, 1}));
  EXPECT_EQ(links.gbs, 1);
  const auto& scales = links.scale;
  EXPECT_NEAR(scales[2].egress, 0.8, 1e-12);
  EXPECT_EQ(scales[2].ingress, 1);
  for (const std::size_t node : {0UL, 1UL, 3UL}) {
    EXPECT_EQ(scales[node].egress, 1);
    EXPECT_EQ(scales[node].ingress, 1);
  }
}

TEST(NodeLinks, AreHeldAgainstOneFigureBothWays) {
  const NodeLinks links = node_links(pairs({1, 1, 1, 1}, {1, 0.8, 0.8, 0.8}));
  EXPECT_EQ(links.gbs, 1);
  for (const std::size_t node : {1UL, 2UL, 3UL}) {
    EXPECT_EQ(links.scale[node].egress, 1);
    EXPECT_NEAR(links.scale[node].ingress, 0.8, 1e-12);
  }
}

TEST(NodeLinks, SmallDifferencesAreNoise) {
  for (const cost::LinkScale& scale : node_links(pairs({1, 0.97, 1.04}, {1.03, 1, 0.96})).scale) {
    EXPECT_EQ(scale.egress, 1);
    EXPECT_EQ(scale.ingress, 1);
  }
}

TEST(NodeLinks, OfTwoNodesBothEndsOfTheSlowWay) {
  const auto scales = node_links(pairs({1, 0.5}, {1, 1})).scale;
  EXPECT_EQ(scales[0].egress, 1);
  EXPECT_NEAR(scales[1].egress, 0.5, 1e-12);
  EXPECT_NEAR(scales[0].ingress, 0.5, 1e-12);
  EXPECT_EQ(scales[1].ingress, 1);
}

TEST(OddLinks, AreThoseFarBelowTheMedian) {
  core::Matrix<double> gbs = pairs({1, 1, 1, 1}, {1, 1, 1, 1});
  gbs(0, 1) = 0.85;
  gbs(2, 3) = 0.7;
  gbs(3, 0) = 0.5;
  const std::vector<OddLink> odd = odd_links(gbs);
  ASSERT_EQ(odd.size(), 2);
  EXPECT_EQ(odd[0].from, 3);
  EXPECT_EQ(odd[0].to, 0);
  EXPECT_NEAR(odd[0].scale, 0.5, 1e-12);
  EXPECT_EQ(odd[1].from, 2);
  EXPECT_TRUE(odd_links(core::Matrix<double>(3, 3)).empty());  // nothing was measured
}

TEST(FitCurve, IsALineWhereThatFits) {
  EXPECT_TRUE(fit_curve(std::vector<Sample>{{1000, 3}, {2000, 5.1}, {4000, 9}}).points.empty());
  EXPECT_FALSE(fit_curve(std::vector<Sample>{{1000, 3}, {2000, 5.1}, {4000, 9}}, 0.001).points.empty());
  EXPECT_TRUE(fit_curve(std::vector<Sample>{}).points.empty());
  EXPECT_TRUE(fit_curve(std::vector<Sample>{{1000, 3}, {1000, 5}}).points.empty());  // of one size
}

TEST(FitCurve, GoesThroughTheSamplesWhereNoLineDoes) {
  // Twice the bytes for the same time, then four times for eight times: as when the last no longer fits a cache.
  const cost::Line line = fit_curve(std::vector<Sample>{{4000, 40}, {1000, 5}, {500, 5}, {0, 1}});
  ASSERT_EQ(line.points.size(), 3U);
  EXPECT_DOUBLE_EQ(line.time_us(500), 5);
  EXPECT_DOUBLE_EQ(line.time_us(1000), 5);
  EXPECT_DOUBLE_EQ(line.time_us(4000), 40);
  EXPECT_LE(line.latency_us, 5);
}

TEST(FitCurve, BelievesTheLongestOfWhatTookAsLong) {
  const cost::Line line = fit_curve(std::vector<Sample>{{1000, 1}, {2000, 8}, {8000, 4}});  // the second was disturbed
  EXPECT_DOUBLE_EQ(line.time_us(8000), 4);
  EXPECT_GT(line.time_us(16000), 4);
  EXPECT_LT(line.time_us(16000), 9);
}

TEST(FitCurve, IsFlatWhereMoreBytesTookNoLonger) {
  const cost::Line line = fit_curve(std::vector<Sample>{{1000, 9}, {4000, 6}, {16000, 5}});
  EXPECT_DOUBLE_EQ(line.time_us(100), 5);
  EXPECT_DOUBLE_EQ(line.time_us(16000), 5);
  EXPECT_DOUBLE_EQ(line.time_us(64000), 20);  // but more that were never tried cost more
}

TEST(Bounded, TakesNoLongerAloneThanAllTogether) {
  const cost::Line probed{1, 1, 2};  // 3 us and 1 us for every 1000 bytes
  // Two ranks that sent each other 1000 and 16000 bytes.
  const std::vector<Sample> exchanges{{2000, 1.5}, {32000, 20}};
  const cost::Line link = bounded(probed, exchanges, 2);
  EXPECT_EQ(link.start_us, 0);
  EXPECT_EQ(link.gbs, 1);
  EXPECT_DOUBLE_EQ(link.time_us(1000), 1.5);
  EXPECT_DOUBLE_EQ(link.time_us(16000), 19);  // alone it was faster
  EXPECT_DOUBLE_EQ(link.time_us(64000), 67);
  // What is not slower stays.
  EXPECT_TRUE(bounded(probed, std::vector<Sample>{{2000, 5}, {32000, 20}}, 2).points.empty());
  // Three ranks send two messages each: 4 us of an exchange are 2 of a message, and of the start each pays half.
  EXPECT_DOUBLE_EQ(bounded(probed, std::vector<Sample>{{6000, 4}}, 3).time_us(1000), 2);
}

TEST(Tidy, SortsMergesAndNeverFalls) {
  const auto points = tidy({{32, 9}, {8, 4}, {8, 6}, {64, 7}});
  ASSERT_EQ(points.size(), 3U);
  EXPECT_DOUBLE_EQ(points[0].us, 5);
  EXPECT_DOUBLE_EQ(points[1].us, 7);
  EXPECT_DOUBLE_EQ(points[2].size, 64);
  EXPECT_DOUBLE_EQ(points[2].us, 7);
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
