#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "routing_support.hpp"

namespace ep::routing {
namespace {

using testing::loads;
using testing::overlap;
using testing::shape_of;

double hottest_over_mean(const Routing& routing) {
  return skew_of(routing, testing::block_placement(routing.experts, 1), 1).hottest_expert_over_mean;
}

double share(std::int64_t part, std::int64_t whole) {
  return static_cast<double>(part) / static_cast<double>(whole);
}

struct SigmaFigure {
  const char* spec;
  double hottest_over_mean;
};

class LognormalSkew : public ::testing::TestWithParam<SigmaFigure> {};

// Figures of log-normal popularity at 256 experts, top-8, beside published router dumps (gpt-oss, OLMoE, GLM-5.2,
// DeepSeek-V3) in the notes that come with the trace of routing_trace_test.cpp. The median over seeds is compared: the
// maximum of 256 log-normal values has a long tail.
INSTANTIATE_TEST_SUITE_P(Routing, LognormalSkew,
                         ::testing::Values(SigmaFigure{"lognormal:0.45", 3.2}, SigmaFigure{"lognormal:0.65", 4.6},
                                           SigmaFigure{"lognormal:0.9", 7.7}, SigmaFigure{"lognormal:1.2", 11.6}));

TEST_P(LognormalSkew, HottestExpertIsAsHotAsInRealRouters) {
  std::vector<double> hottest;
  for (std::uint64_t seed = 0; seed < 41; ++seed) {
    hottest.push_back(hottest_over_mean(generate(GetParam().spec, shape_of(1536, 8, 256, seed))));
  }
  std::nth_element(hottest.begin(), hottest.begin() + 20, hottest.end());
  EXPECT_NEAR(hottest[20], GetParam().hottest_over_mean, 0.1 * GetParam().hottest_over_mean);
}

TEST(LognormalStatistics, HotExpertsGetTheirMultipleOfTheMean) {
  constexpr std::int64_t kTokens = 16000;
  auto load = loads(generate("lognormal:0.45,hot=3*12", shape_of(kTokens, 8, 256, 4)));
  std::sort(load.rbegin(), load.rend());
  const double mean = share(kTokens * 8, 256);  // 500 copies, so one standard error of a hot expert's 6000 is 61
  for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(static_cast<double>(load[i]) / mean, 12.0, 0.6);
  EXPECT_LT(static_cast<double>(load[3]) / mean, 6.0);
}

TEST(LognormalStatistics, AHotExpertCanBeInEveryToken) {
  auto load = loads(generate("lognormal:0.45,hot=2*32,sticky=0.5", shape_of(300, 8, 256, 4)));
  std::sort(load.rbegin(), load.rend());
  EXPECT_EQ(load[0], 300);
  EXPECT_EQ(load[1], 300);
  EXPECT_LT(load[2], 200);
}

TEST(LognormalStatistics, StickyTokensOverlapAsInGptOss) {
  double independent = 0;
  double sticky = 0;
  for (std::uint64_t seed = 0; seed < 16; ++seed) {
    independent += overlap(generate("lognormal:0.65", shape_of(4000, 4, 32, seed))) / 16;
    sticky += overlap(generate("lognormal:0.65,sticky=0.4", shape_of(4000, 4, 32, seed))) / 16;
  }
  EXPECT_NEAR(sticky, 0.44, 0.02);       // gpt-oss-20b: median over its layers
  EXPECT_NEAR(independent, 0.19, 0.03);  // its layer 0
}

TEST(LognormalStatistics, StickinessLeavesTheLoadsAsTheyAre) {
  constexpr std::int64_t kTokens = 60000;
  const auto independent = loads(generate("lognormal:0.65", shape_of(kTokens, 4, 32, 9)));
  const auto sticky = loads(generate("lognormal:0.65,sticky=0.4", shape_of(kTokens, 4, 32, 9)));
  for (std::size_t e = 0; e < 32; ++e) {
    EXPECT_NEAR(share(sticky[e], kTokens), share(independent[e], kTokens), 0.012) << "expert " << e;
  }
}

TEST(LognormalStatistics, FullStickinessRepeatsTheFirstToken) {
  EXPECT_EQ(overlap(generate("lognormal:0.65,sticky=1", shape_of(100, 4, 32, 9))), 1.0);
}

TEST(ZipfStatistics, TopOneSharesFollowThePowerLaw) {
  constexpr std::int64_t kTokens = 50000;
  auto load = loads(generate("zipf:1", shape_of(kTokens, 1, 8, 2)));
  std::sort(load.rbegin(), load.rend());
  double harmonic = 0;
  for (int rank = 1; rank <= 8; ++rank) harmonic += 1.0 / rank;
  for (std::size_t i = 0; i < 8; ++i) {
    EXPECT_NEAR(share(load[i], kTokens), 1.0 / (static_cast<double>(i + 1) * harmonic), 0.011);
  }
}

TEST(ZipfStatistics, TheSeedChoosesWhichExpertIsPopular) {
  std::vector<std::int64_t> hottest;
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    const auto load = loads(generate("zipf:2", shape_of(500, 1, 64, seed)));
    hottest.push_back(std::max_element(load.begin(), load.end()) - load.begin());
  }
  std::sort(hottest.begin(), hottest.end());
  EXPECT_GE(std::unique(hottest.begin(), hottest.end()) - hottest.begin(), 5);
}

TEST(UniformStatistics, EveryExpertAndEveryPairIsEquallyLikely) {
  constexpr std::int64_t kTokens = 60000;
  const auto routing = generate("uniform", shape_of(kTokens, 2, 5, 8));
  std::vector<std::int64_t> pairs(25);  // ordered: 20 of them are possible
  for (std::int64_t token = 0; token < kTokens; ++token) {
    const auto ids = routing.experts_of(token);
    ++pairs[static_cast<std::size_t>(ids[0] * 5 + ids[1])];
  }
  for (std::size_t i = 0; i < 25; ++i) {
    EXPECT_NEAR(share(pairs[i], kTokens), i % 6 == 0 ? 0.0 : 0.05, i % 6 == 0 ? 0.0 : 0.0045) << "pair " << i;
  }
}

TEST(HotStatistics, TheShareIsMetThoughNoTokenCanHaveIt) {
  constexpr std::int64_t kTokens = 40000;
  RoutingShape shape = shape_of(kTokens, 4, 32, 6);
  shape.hot_experts = {8, 9, 10, 11, 12, 13, 14, 15};
  const auto load = loads(generate("hot:0.6", shape));  // 2.4 of 4 slots
  const auto hot = std::accumulate(load.begin() + 8, load.begin() + 16, std::int64_t{0});
  EXPECT_NEAR(share(hot, 4 * kTokens), 0.6, 0.004);
  for (std::size_t e = 0; e < 32; ++e) {
    const bool is_hot = e >= 8 && e < 16;
    EXPECT_NEAR(share(load[e], kTokens), is_hot ? 0.3 : 1.6 / 24, is_hot ? 0.012 : 0.0065) << "expert " << e;
  }
}

}  // namespace
}  // namespace ep::routing
