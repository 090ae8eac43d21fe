#include <cmath>

#include <gtest/gtest.h>

#include "routing_support.hpp"

namespace ep::routing {
namespace {

using testing::block_placement;
using testing::expect_input_error;
using testing::make_routing;

TEST(TokenPlacement, FirstTokenInvertsRankOfToken) {
  for (const int ranks : {1, 2, 3, 4, 7, 64}) {
    for (const std::int64_t tokens : {1, 2, 3, 5, 63, 64, 65, 1000}) {
      EXPECT_EQ(first_token(tokens, ranks, 0), 0);
      EXPECT_EQ(first_token(tokens, ranks, ranks), tokens);
      for (int rank = 0; rank < ranks; ++rank) {
        for (auto t = first_token(tokens, ranks, rank); t < first_token(tokens, ranks, rank + 1); ++t) {
          EXPECT_EQ(rank_of_token(t, tokens, ranks), rank);
        }
      }
    }
  }
  EXPECT_EQ(first_token(0, 4, 2), 0);
}

TEST(Check, AcceptsMaskedSlotsAndNoTokens) {
  EXPECT_NO_THROW(check(make_routing(2, 3, 5, {0, 1, 2, 4, kMasked, kMasked})));
  EXPECT_NO_THROW(check(make_routing(0, 1, 1, {})));
}

TEST(Check, RefusesWhatNoLayerCouldRun) {
  expect_input_error(
      [] {
        check(make_routing(2, 2, 4, {0, 1, 2, 4}));
      },
      {"made", "expert_ids[token 1, slot 1] = 4", "0 to 3"});
  expect_input_error([] { check(make_routing(2, 2, 4, {0, -2, 2, 3})); }, {"expert_ids[token 0, slot 1] = -2"});
  expect_input_error([] { check(make_routing(2, 2, 4, {0, 1, 3, 3})); }, {"expert_ids[token 1, slot 1] = 3", "twice"});
  expect_input_error([] { check(make_routing(2, 2, 4, {0, 1, 3})); }, {"expert_ids = 3 entries", "2 tokens * 2 slots"});
  expect_input_error([] { check(make_routing(1, 5, 4, {0, 1, 2, 3, -1})); }, {"topk = 5", "4"});
  expect_input_error([] { check(make_routing(-1, 2, 4, {})); }, {"tokens = -1"});
  auto routing = make_routing(1, 2, 4, {0, 1});
  routing.gate_weights.pop_back();
  expect_input_error([&] { check(routing); }, {"gate_weights = 1 entries"});
}

TEST(Hash, IsFnv1aOfShapeAndIds) {
  // Computed by an independent FNV-1a 64 over the packed little-endian bytes.
  EXPECT_EQ(hash(make_routing(2, 3, 5, {0, 1, 2, 4, kMasked, 3})), 0x7db809bf7293e401ULL);
  EXPECT_EQ(hash(make_routing(0, 1, 1, {})), 0x51cef117f81654e5ULL);
}

TEST(Hash, SeesShapeAndOrderButNotWeightsOrSource) {
  const auto base = make_routing(2, 2, 4, {0, 1, 2, 3});
  EXPECT_NE(hash(base), hash(make_routing(1, 4, 4, {0, 1, 2, 3})));
  EXPECT_NE(hash(base), hash(make_routing(2, 2, 5, {0, 1, 2, 3})));
  EXPECT_NE(hash(base), hash(make_routing(2, 2, 4, {1, 0, 2, 3})));
  auto other = base;
  other.source = "elsewhere";
  other.gate_weights[0] = 0.25F;
  EXPECT_EQ(hash(base), hash(other));
}

TEST(SkewOf, AnEvenRoutingHasNone) {
  const auto skew = skew_of(make_routing(2, 2, 4, {0, 2, 1, 3}), block_placement(4, 2), 2);
  EXPECT_DOUBLE_EQ(skew.hottest_expert_over_mean, 1.0);
  EXPECT_DOUBLE_EQ(skew.hottest_rank_over_mean, 1.0);
  EXPECT_DOUBLE_EQ(skew.entropy_over_log2_experts, 1.0);
  EXPECT_DOUBLE_EQ(skew.distinct_ranks_per_token, 2.0);
}

TEST(SkewOf, CountsByHand) {
  // Loads 3, 1, 1, 0 over experts; 4 and 1 over ranks; tokens touch 1, 1, 2 ranks; one slot is masked.
  const auto skew = skew_of(make_routing(3, 2, 4, {0, 1, 0, kMasked, 2, 0}), block_placement(4, 2), 2);
  EXPECT_DOUBLE_EQ(skew.hottest_expert_over_mean, 3.0 / 1.25);
  EXPECT_DOUBLE_EQ(skew.hottest_rank_over_mean, 4.0 / 2.5);
  EXPECT_NEAR(skew.entropy_over_log2_experts, -(0.6 * std::log2(0.6) + 2 * 0.2 * std::log2(0.2)) / 2, 1e-12);
  EXPECT_DOUBLE_EQ(skew.distinct_ranks_per_token, 4.0 / 3.0);
}

TEST(SkewOf, IsFiniteWithoutCopiesAndWithOneExpert) {
  const auto none = skew_of(make_routing(1, 1, 2, {kMasked}), block_placement(2, 2), 2);
  EXPECT_EQ(none.hottest_expert_over_mean, 0.0);
  EXPECT_EQ(none.distinct_ranks_per_token, 0.0);
  const auto one = skew_of(make_routing(2, 1, 1, {0, 0}), block_placement(1, 1), 1);
  EXPECT_EQ(one.entropy_over_log2_experts, 1.0);
}

TEST(SkewOf, RefusesAPlacementOfOtherExperts) {
  const auto routing = make_routing(1, 2, 4, {0, 1});
  const std::vector<std::int32_t> short_one = {0, 0, 1};
  const std::vector<std::int32_t> outside = {0, 0, 1, 2};
  expect_input_error([&] { skew_of(routing, short_one, 2); }, {"expert_rank = 3 entries", "4 experts"});
  expect_input_error([&] { skew_of(routing, outside, 2); }, {"expert_rank = 2", "0 to 1"});
}

}  // namespace
}  // namespace ep::routing
