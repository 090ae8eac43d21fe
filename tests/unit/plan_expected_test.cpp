#include <numeric>
#include <tuple>

#include <gtest/gtest.h>

#include "plan/expected.hpp"
#include "routing/routing.hpp"
#include "tests/unit/expect_input_error.hpp"

namespace ep::plan {
namespace {

constexpr int kRanks = 16;
constexpr int kExperts = 128;
constexpr int kTopk = 8;
constexpr std::int64_t kTokens = 4096;  // a rank

struct Both {
  Plan exact;
  Plan expected;
};

Both plans(const std::string& spec, const std::string& where, int chunks) {
  const placement::Placement placement = placement::make_placement(where, kExperts, kRanks);
  const placement::Topology topology = placement::block_topology(kRanks, 4);
  const auto hot = placement.experts_of(0);
  const routing::RoutingShape shape{kTokens * kRanks, kTopk, kExperts, 7, {hot.begin(), hot.end()}};
  const routing::Routing routing = routing::generate(spec, shape);
  ExpectedJob job{shape.tokens, kTopk, routing::expected_copies(spec, shape), 0, 0};
  job.ranks_per_token = routing::skew_of(routing, placement.expert_ranks(), kRanks).distinct_ranks_per_token;
  return {make_plan(routing, placement, topology, chunks), expected_plan(job, placement, topology, chunks)};
}

double largest(const ExchangeLoads& loads, TierLoad RankLoad::*tier) {
  double most = 0;
  for (const RankLoad& load : loads) most = std::max(most, (load.*tier).rows);
  return most;
}

using Case = std::tuple<std::string, std::string, int>;
class ExpectedPlan : public testing::TestWithParam<Case> {};

TEST_P(ExpectedPlan, AgreesWithTheExactOneOfManyTokens) {
  const auto& [spec, where, chunks] = GetParam();
  const Both both = plans(spec, where, chunks);
  for (int chunk = 0; chunk < chunks; ++chunk) {
    const ChunkTraffic& exact = both.exact.chunks[static_cast<std::size_t>(chunk)];
    const ChunkTraffic& expected = both.expected.chunks[static_cast<std::size_t>(chunk)];
    EXPECT_EQ(expected.tokens, exact.tokens);
    const ExchangeLoads counted = loads_of(exact.copies, both.exact.topology);
    // Means of the busiest ranks: 3 % covers both chance (0.6 % of a rank's rows) and the limit of many experts.
    for (const auto tier :
         {&RankLoad::out_within, &RankLoad::out_between, &RankLoad::in_within, &RankLoad::in_between}) {
      EXPECT_NEAR(largest(expected.expected->loads, tier) / largest(counted, tier), 1, 0.03);
    }
    for (int rank = 0; rank < kRanks; ++rank) {
      const auto r = static_cast<std::size_t>(rank);
      EXPECT_DOUBLE_EQ(expected.expected->loads[r].out_between.messages, counted[r].out_between.messages);
      EXPECT_DOUBLE_EQ(expected.expected->loads[r].in_within.messages, counted[r].in_within.messages);
    }
  }
}

TEST_P(ExpectedPlan, CountsTheSameBytes) {
  const auto& [spec, where, chunks] = GetParam();
  const Both both = plans(spec, where, chunks);
  const ByteCounts exact = count_bytes(both.exact, 1024, core::DType::bf16);
  const ByteCounts expected = count_bytes(both.expected, 1024, core::DType::bf16);
  EXPECT_EQ(expected.useful, exact.useful);
  const auto near = [](std::int64_t a, std::int64_t b) {
    EXPECT_NEAR(static_cast<double>(a) / static_cast<double>(b), 1, 0.01);
  };
  near(expected.wire_rank, exact.wire_rank);
  near(expected.wire_node, exact.wire_node);
  near(expected.logical_rank, exact.logical_rank);
}

INSTANTIATE_TEST_SUITE_P(Routings, ExpectedPlan,
                         testing::Values(Case{"uniform", "block", 1}, Case{"lognormal:0.65", "block", 2},
                                         Case{"lognormal:0.45,hot=2*8", "round-robin", 1}, Case{"zipf:0.8", "block", 1},
                                         Case{"hot:0.2", "block", 1}, Case{"stride", "round-robin", 4}));

TEST(ExpectedCopies, SumToTopk) {
  for (const char* spec : {"uniform", "lognormal:1.2", "lognormal:0.65,hot=2*10", "zipf:1", "hot:0.5", "stride"}) {
    const std::vector<double> copies = routing::expected_copies(spec, {0, 8, 256, 3, {0, 1, 2, 3}});
    EXPECT_NEAR(std::accumulate(copies.begin(), copies.end(), 0.0), 8, 1e-9) << spec;
  }
}

TEST(ExpectedCopies, EveryExpertWhereAllAreTaken) {
  for (const double copies : routing::expected_copies("lognormal:1", {0, 4, 4, 3, {}})) EXPECT_NEAR(copies, 1, 1e-6);
}

TEST(ExpectedCopies, RefusesWhatGenerateRefuses) {
  test::expect_input_error([] { routing::expected_copies("gaussian", {0, 2, 8, 1, {}}); }, {"--routing", "gaussian"});
  test::expect_input_error([] { routing::expected_copies("zipf:x", {0, 2, 8, 1, {}}); }, {"zipf S", "x"});
  test::expect_input_error([] { routing::expected_copies("uniform", {0, 9, 8, 1, {}}); }, {"9"});
}

TEST(ExpectedPlanInput, RefusesSizesThatDisagree) {
  const ExpectedJob job{64, 2, std::vector<double>(8, 0.25), 1, 1};
  const placement::Placement placement = placement::make_placement("block", 8, 4);
  test::expect_input_error([&] { expected_plan(job, placement, placement::block_topology(8, 8), 1); }, {"ranks"});
  test::expect_input_error([&] { expected_plan(job, placement, placement::block_topology(4, 4), 0); }, {"chunks"});
}

}  // namespace
}  // namespace ep::plan
