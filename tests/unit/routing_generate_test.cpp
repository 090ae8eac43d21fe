#include <gtest/gtest.h>

#include "routing_support.hpp"

namespace ep::routing {
namespace {

using testing::expect_input_error;
using testing::shape_of;

struct GeneratorCase {
  std::string spec;
  std::uint64_t golden_hash;  // of 1000 tokens, top-4 of 48 experts, seed 12345, experts 0..7 hot
};

RoutingShape with_hot(std::vector<std::int32_t> hot_experts) {
  RoutingShape shape = shape_of(1, 1, 4, 0);
  shape.hot_experts = std::move(hot_experts);
  return shape;
}

class EveryGenerator : public ::testing::TestWithParam<GeneratorCase> {};

// The hashes were computed by an independent implementation of the documented rules in another language.
INSTANTIATE_TEST_SUITE_P(Routing, EveryGenerator,
                         ::testing::Values(GeneratorCase{"uniform", 0x943254ca65dfd32dULL},
                                           GeneratorCase{"stride", 0x88be90f905a48788ULL},
                                           GeneratorCase{"hot:0.6", 0x8bae4625c72bba9dULL},
                                           GeneratorCase{"zipf:1.1", 0x51a2553c5904b4f1ULL},
                                           GeneratorCase{"lognormal:0.65", 0x76f9814b27a34476ULL},
                                           GeneratorCase{"lognormal:0.65,hot=2*5,sticky=0.4", 0x7f462b216540b391ULL}));

TEST_P(EveryGenerator, MakesTheSameRoutingOnEveryMachine) {
  EXPECT_EQ(hash(generate(GetParam().spec, shape_of(1000, 4, 48, 12345, 8))), GetParam().golden_hash);
}

TEST_P(EveryGenerator, FillsEveryShapeWithDistinctExperts) {
  struct Size {
    int topk;
    int experts;
    int hot;
  };
  for (const Size size : {Size{2, 11, 4}, Size{4, 31, 8}, Size{8, 62, 20}, Size{8, 256, 64}}) {
    for (const std::int64_t tokens : {0, 1, 7, 300}) {
      const auto routing = generate(GetParam().spec, shape_of(tokens, size.topk, size.experts, 99, size.hot));
      EXPECT_EQ(routing.tokens, tokens);
      EXPECT_EQ(routing.valid_copies(), tokens * size.topk);
      EXPECT_NO_THROW(check(routing));
    }
  }
}

TEST_P(EveryGenerator, DependsOnTheSeed) {
  const auto one = generate(GetParam().spec, shape_of(50, 4, 48, 1, 8));
  const auto two = generate(GetParam().spec, shape_of(50, 4, 48, 2, 8));
  EXPECT_NE(hash(one), hash(two));
  EXPECT_NE(one.gate_weights, two.gate_weights);
}

TEST_P(EveryGenerator, MoreTokensContinueFewer) {
  const auto few = generate(GetParam().spec, shape_of(40, 4, 48, 5, 8));
  const auto many = generate(GetParam().spec, shape_of(90, 4, 48, 5, 8));
  EXPECT_TRUE(std::equal(few.expert_ids.begin(), few.expert_ids.end(), many.expert_ids.begin()));
  EXPECT_TRUE(std::equal(few.gate_weights.begin(), few.gate_weights.end(), many.gate_weights.begin()));
}

TEST_P(EveryGenerator, GateWeightsFallAndSumToOne) {
  const auto routing = generate(GetParam().spec, shape_of(2000, 4, 48, 5, 8));
  for (std::size_t first = 0; first < routing.gate_weights.size(); first += 4) {
    const auto weights = std::span(routing.gate_weights).subspan(first, 4);
    EXPECT_NEAR(std::accumulate(weights.begin(), weights.end(), 0.0), 1.0, 1e-6);
    for (std::size_t slot = 1; slot < 4; ++slot) EXPECT_GT(weights[slot - 1], weights[slot]);
    EXPECT_GT(weights.back(), 0.0F);
  }
}

TEST(Generate, AllExpertsOfATokenCanBeAsked) {
  for (const auto* spec : {"uniform", "stride", "zipf:2", "lognormal:1.2,sticky=0.5", "hot:0.5"}) {
    EXPECT_NO_THROW(check(generate(spec, shape_of(20, 6, 6, 3, 3)))) << spec;
  }
  EXPECT_NO_THROW(check(generate("stride", shape_of(20, 31, 31, ~std::uint64_t{0}))));
}

TEST(Generate, StrideFollowsThePublishedRule) {
  const auto routing = generate("stride", shape_of(3, 3, 10, 4));
  EXPECT_THAT(routing.expert_ids, ::testing::ElementsAre(4, 5, 6, 1, 2, 3, 8, 9, 0));
}

TEST(Generate, StrideTakesTheNextFreeExpertOnARepeat) {
  const auto routing = generate("stride", shape_of(2, 3, 31, 29));  // 31 * slot is 0 mod 31
  EXPECT_THAT(routing.expert_ids, ::testing::ElementsAre(29, 30, 0, 15, 16, 17));
}

struct BadSpec {
  std::string spec;
  RoutingShape shape;
  std::vector<std::string> message;
};

TEST(Generate, RefusesBadSpecsAndShapesByFieldAndValue) {
  const auto good = shape_of(10, 4, 32, 1, 8);
  const std::vector<BadSpec> cases = {
      {"", good, {"--routing", "wanted uniform"}},
      {"unifrom", good, {"--routing = unifrom", "wanted uniform"}},
      {"uniform:3", good, {"--routing = uniform:3", "wanted uniform"}},
      {"lognormal", good, {"--routing = lognormal", "lognormal:SIGMA"}},
      {"trace.jsonl:3", good, {"--routing = trace.jsonl:3", "FILE.jsonl"}},
      {"lognormal:", good, {"--routing lognormal SIGMA = "}},
      {"lognormal:abc", good, {"--routing lognormal SIGMA = abc", "number"}},
      {"lognormal:0.5x", good, {"lognormal SIGMA = 0.5x"}},
      {"lognormal:nan", good, {"lognormal SIGMA = nan"}},
      {"lognormal:-1", good, {"lognormal SIGMA = -1", "0 to 10"}},
      {"lognormal:11", good, {"lognormal SIGMA = 11", "0 to 10"}},
      {"lognormal:1,", good, {"lognormal option = ", "hot=COUNT*FACTOR"}},
      {"lognormal:1,cold=3", good, {"lognormal option = cold=3"}},
      {"lognormal:1,sticky=.1,sticky=.2", good, {"lognormal option = sticky=.2", "once"}},
      {"lognormal:1,sticky=1.5", good, {"lognormal sticky = 1.5", "0 to 1"}},
      {"lognormal:1,hot=2", good, {"lognormal hot = 2", "COUNT*FACTOR"}},
      {"lognormal:1,hot=0*2", good, {"lognormal hot COUNT = 0"}},
      {"lognormal:1,hot=5*2", good, {"lognormal hot COUNT = 5", "at most 4"}},
      {"lognormal:1,hot=x*2", good, {"lognormal hot COUNT = x"}},
      {"lognormal:1,hot=1*8.1", good, {"lognormal hot FACTOR = 8.1", "0 to 8"}},
      {"lognormal:1,hot=1*1", shape_of(10, 32, 32, 1), {"lognormal hot COUNT = 1", "topk 32 of 32"}},
      {"zipf:-0.1", good, {"zipf S = -0.1", "0 to 20"}},
      {"zipf:1e999", good, {"zipf S = 1e999"}},
      {"hot:-0.1", good, {"hot FRACTION", "= -0.1", "0 to 1"}},
      {"hot:1.1", good, {"hot FRACTION", "= 1.1", "0 to 1"}},
      {"hot:0.9", shape_of(10, 4, 32, 1, 3), {"hot FRACTION (topk 4, 3 of 32 experts hot) = 0.9", "0 to 0.75"}},
      {"hot:0.1", shape_of(10, 4, 5, 1, 2), {"hot FRACTION", "= 0.1", "0.25 to 0.5"}},
      {"hot:0.5", shape_of(10, 4, 32, 1, 0), {"hot FRACTION (topk 4, 0 of 32 experts hot)", "0 to 0"}},
      {"hot:0.5", with_hot({4}), {"hot expert = 4", "0 to 3"}},
      {"hot:0.5", with_hot({2, 2}), {"hot expert = 2"}},
      {"uniform", shape_of(-1, 4, 32, 1), {"tokens = -1"}},
      {"uniform", shape_of(1, 0, 32, 1), {"topk = 0"}},
      {"uniform", shape_of(1, 33, 32, 1), {"topk = 33", "number of experts, 32"}},
      {"uniform", shape_of(1, 1, 0, 1), {"experts = 0"}},
      {"uniform", shape_of(1, 1, 2000000000, 1), {"experts = 2000000000"}},
      {"uniform", shape_of(std::int64_t{1} << 62, 8, 32, 1), {"tokens = 4611686018427387904", "at most 33554432"}},
  };
  for (const auto& bad : cases) {
    SCOPED_TRACE(bad.spec);
    expect_input_error([&] { generate(bad.spec, bad.shape); }, bad.message);
  }
}

TEST(Generate, BoundariesOfTheHotShareAreMetExactly) {
  // All three hot experts in every token, then none of the three.
  const auto all = testing::loads(generate("hot:0.75", shape_of(500, 4, 32, 1, 3)));
  EXPECT_THAT(std::vector(all.begin(), all.begin() + 3), ::testing::Each(500));
  const auto none = testing::loads(generate("hot:0", shape_of(500, 4, 32, 1, 3)));
  EXPECT_THAT(std::vector(none.begin(), none.begin() + 3), ::testing::Each(0));
}

}  // namespace
}  // namespace ep::routing
