#include <cmath>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "measure/overlap.hpp"
#include "measure/statistics.hpp"

namespace ep::measure {
namespace {

using testing::DoubleNear;

/// P(l <= X < u), X ~ Binomial(n, 1/2), in exact integers (n <= 60).
double coverage(int n, std::int64_t low, std::int64_t high) {
  std::vector<std::uint64_t> row = {1};
  for (int i = 0; i < n; ++i) {
    std::vector<std::uint64_t> next(row.size() + 1, 1);
    for (std::size_t k = 1; k < row.size(); ++k) next[k] = row[k - 1] + row[k];
    row = next;
  }
  std::uint64_t inside = 0;
  for (std::int64_t k = low; k < high; ++k) inside += row[static_cast<std::size_t>(k)];
  return std::ldexp(static_cast<double>(inside), -n);
}

TEST(MedianInterval, TabulatedRanks) {
  const auto ranks = [](std::int64_t n) {
    const IntervalRanks r = median_interval_ranks(n).value();
    return std::pair(r.low, r.high);
  };
  EXPECT_FALSE(median_interval_ranks(1));
  EXPECT_FALSE(median_interval_ranks(5));
  EXPECT_EQ(ranks(6), std::pair(std::int64_t{1}, std::int64_t{6}));
  EXPECT_EQ(ranks(9), std::pair(std::int64_t{2}, std::int64_t{8}));
  EXPECT_EQ(ranks(30), std::pair(std::int64_t{10}, std::int64_t{21}));
  EXPECT_EQ(ranks(100), std::pair(std::int64_t{40}, std::int64_t{61}));
}

TEST(MedianInterval, IsTheNarrowestThatCovers) {
  for (int n = 6; n <= 60; ++n) {
    const IntervalRanks ranks = median_interval_ranks(n).value();
    EXPECT_EQ(ranks.low + ranks.high, n + 1) << n;
    EXPECT_GE(coverage(n, ranks.low, ranks.high), 0.95) << n;
    EXPECT_LT(coverage(n, ranks.low + 1, ranks.high - 1), 0.95) << n;
  }
}

TEST(MedianInterval, LargeSamplesFollowTheNormalLimit) {
  // Beyond n = 1074 the probabilities underflow unless summed as logarithms.
  for (const std::int64_t n : {2'000, 100'000}) {
    const auto size = static_cast<double>(n);
    const double limit = size / 2 - 1.959964 * std::sqrt(size) / 2;
    EXPECT_NEAR(static_cast<double>(median_interval_ranks(n).value().low), limit, 1.0) << n;
  }
}

TEST(Summarise, UnsortedSample) {
  std::vector<double> samples(100);
  std::iota(samples.begin(), samples.end(), 1.0);
  std::swap(samples[0], samples[99]);
  const Summary summary = summarise(samples);
  EXPECT_EQ(summary.median, 50.5);
  EXPECT_EQ(summary.p95, 95.0);
  EXPECT_EQ(summary.max, 100.0);
  EXPECT_EQ(summary.ci_low, 40.0);
  EXPECT_EQ(summary.ci_high, 61.0);
}

TEST(Summarise, NearestRankRoundsUp) {
  EXPECT_EQ(summarise(std::vector<double>{3, 1, 2}).p95, 3.0);
  std::vector<double> samples(21);
  std::iota(samples.begin(), samples.end(), 1.0);
  EXPECT_EQ(summarise(samples).p95, 20.0);  // ceil(19.95)
}

TEST(Summarise, FewSamplesGiveNoInterval) {
  const Summary one = summarise(std::vector<double>{7.5});
  EXPECT_EQ(one.median, 7.5);
  EXPECT_EQ(one.ci_low, std::nullopt);
  EXPECT_EQ(summarise(std::vector<double>{5, 1, 4, 2, 3}).ci_high, std::nullopt);
  const Summary six = summarise(std::vector<double>{5, 1, 4, 2, 3, 6});
  EXPECT_EQ(six.ci_low, 1.0);
  EXPECT_EQ(six.ci_high, 6.0);
}

TEST(Converged, NeedsSamplesAndANarrowInterval) {
  const Summary narrow = {.median = 100, .ci_low = 98, .ci_high = 102};
  EXPECT_TRUE(converged(narrow, 30, 30, 0.02));
  EXPECT_FALSE(converged(narrow, 29, 30, 0.02));
  EXPECT_FALSE(converged({.median = 100, .ci_low = 97.9, .ci_high = 101}, 300, 30, 0.02));
  EXPECT_FALSE(converged({.median = 100, .ci_low = 99, .ci_high = 102.1}, 300, 30, 0.02));
}

/// Compute of `compute` and communication of `comm` that overlap for `share` of the shorter.
OverlapSample known(double comm, double compute, double share) {
  return {.both_us = comm + compute - share * std::min(comm, compute),
          .compute_alone_us = compute,
          .comm_alone_us = comm,
          .compute_with_comm_us = compute};
}

TEST(Overlap, RecoversAKnownShare) {
  for (const double share : {0.0, 0.25, 0.5, 0.75, 1.0}) {
    for (const auto& [comm, compute] : {std::pair(400.0, 1000.0), std::pair(1000.0, 400.0), std::pair(700.0, 700.0)}) {
      const auto result = overlap(std::vector{known(comm, compute, share)});
      ASSERT_TRUE(result);
      EXPECT_THAT(result->efficiency, DoubleNear(share, 1e-12));
      EXPECT_THAT(result->exposed_us, DoubleNear(comm - share * std::min(comm, compute), 1e-9));
      EXPECT_EQ(result->interference, 1.0);
    }
  }
}

TEST(Overlap, IsSignedAndUnclamped) {
  const OverlapSample loss = {
      .both_us = 1600, .compute_alone_us = 1000, .comm_alone_us = 500, .compute_with_comm_us = 1300};
  const auto worse = overlap(std::vector{loss});
  EXPECT_DOUBLE_EQ(worse->efficiency, -0.2);
  EXPECT_DOUBLE_EQ(worse->interference, 1.3);
  const OverlapSample lucky = {
      .both_us = 990, .compute_alone_us = 1000, .comm_alone_us = 500, .compute_with_comm_us = 990};
  const auto better = overlap(std::vector{lucky});
  EXPECT_DOUBLE_EQ(better->exposed_us, -10);
  EXPECT_DOUBLE_EQ(better->efficiency, 1.02);
}

TEST(Overlap, PairsCancelDrift) {
  // The machine slows down threefold over the run: every pair still shows half hidden, unpaired medians would not.
  std::vector<OverlapSample> samples;
  for (const double slow : {1.0, 1.7, 3.0}) samples.push_back(known(400 * slow, 1000 * slow, 0.5));
  samples[0].both_us += 5000;  // one disturbed iteration
  EXPECT_NEAR(overlap(samples)->efficiency, 0.5, 1e-9);
}

TEST(Overlap, NullWithoutTwoPhases) {
  EXPECT_FALSE(overlap({}));
  EXPECT_FALSE(overlap(std::vector{OverlapSample{.both_us = 10, .compute_alone_us = 10}}));
  EXPECT_FALSE(overlap(std::vector{OverlapSample{.both_us = 10, .comm_alone_us = 10}}));
}

}  // namespace
}  // namespace ep::measure
