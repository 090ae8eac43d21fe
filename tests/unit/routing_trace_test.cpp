#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>

#include "core/median.hpp"
#include "routing_support.hpp"

namespace ep::routing {
namespace {

/// The top-4 choices of gpt-oss-20b's routers, [24 layers, 24576 tokens, 4] of 32 experts (data of
/// AmanPriyanshu/GPT-OSS-MoE-ExpertFingerprinting). It is not part of the sources: without it these tests are skipped.
class GptOssTrace : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* const given = std::getenv("EPBENCH_SHARED");
    const auto source_dir = std::filesystem::path(__FILE__).parent_path().parent_path().parent_path();
    const auto shared = given != nullptr ? std::filesystem::path(given) : source_dir.parent_path() / "shared";
    path_ = (shared / "routing" / "gpt-oss-20b_mmlu_topk.npy").string();
    if (!std::filesystem::exists(path_)) GTEST_SKIP() << "no trace at " << path_ << "; EPBENCH_SHARED names its folder";
  }

  [[nodiscard]] Routing layer(int index) const { return load(path_ + ":" + std::to_string(index), 0, 4, 32, 1); }
  std::string path_;
};

TEST_F(GptOssTrace, LayerTwelveHasItsPublishedCounts) {
  constexpr int kRanks = 4;
  const auto routing = layer(12);
  EXPECT_EQ(routing.tokens, 24576);
  EXPECT_EQ(routing.valid_copies(), 98304);
  EXPECT_EQ(hash(routing), 0x70ec261b58d3418eULL);  // by an independent reader

  const auto rank_of = testing::block_placement(32, kRanks);
  const auto skew = skew_of(routing, rank_of, kRanks);
  EXPECT_NEAR(skew.distinct_ranks_per_token * 24576, 73929, 1e-6);
  std::int64_t remote = 0;
  for (std::int64_t token = 0; token < routing.tokens; ++token) {
    const int home = rank_of_token(token, routing.tokens, kRanks);
    for (const auto id : routing.experts_of(token)) remote += rank_of[static_cast<std::size_t>(id)] != home ? 1 : 0;
  }
  EXPECT_EQ(remote, 76475);
}

TEST_F(GptOssTrace, AFileKeepsItsFirstTokens) {
  const auto whole = layer(3);
  const auto part = load(path_ + ":3", 1000, 0, 0, 1);
  EXPECT_EQ(part.experts, 32);
  EXPECT_EQ(part.tokens, 1000);
  EXPECT_TRUE(std::equal(part.expert_ids.begin(), part.expert_ids.end(), whole.expert_ids.begin()));
}

TEST_F(GptOssTrace, SkewAndStickinessAreThoseOfItsNotes) {
  std::vector<double> hottest;
  std::vector<double> entropy;
  std::vector<double> overlap;
  for (int index = 0; index < 24; ++index) {
    const auto routing = layer(index);
    const auto skew = skew_of(routing, testing::block_placement(32, 1), 1);
    hottest.push_back(skew.hottest_expert_over_mean);
    entropy.push_back(skew.entropy_over_log2_experts);
    overlap.push_back(testing::overlap(routing));
  }
  EXPECT_NEAR(core::median(hottest), 2.5, 0.25);  // the notes' figure is of more text than this file holds
  EXPECT_NEAR(core::median(entropy), 0.92, 0.02);
  EXPECT_NEAR(core::median(overlap), 0.44, 0.02);
}

}  // namespace
}  // namespace ep::routing
