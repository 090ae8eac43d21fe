#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <gtest/gtest.h>

#include "cost/route_cost.hpp"
#include "plan/plan.hpp"
#include "tests/unit/make_routing.hpp"

// Figures of a real router trace, counted apart from this code. The trace is not part of the tree.
namespace ep::plan {
namespace {

constexpr const char* kTrace = "routing/gpt-oss-20b_mmlu_topk.npy";
constexpr std::int64_t kTokens = 24'576;
constexpr int kTopk = 4;

std::filesystem::path trace_path() {
  const char* const shared = std::getenv("EPBENCH_SHARED");
  return std::filesystem::path(shared != nullptr ? shared : EPBENCH_SOURCE_DIR "/../shared") / kTrace;
}

/// One layer of the file [layers, tokens, topk] of bytes. Read here by hand: the loader has tests of its own.
routing::Routing read_layer(const std::filesystem::path& path, std::int64_t layer) {
  std::ifstream file(path, std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  constexpr std::size_t kPreamble = 10;  // magic, version, and the header's length in bytes 8 and 9
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(content.at(i)); };
  const std::size_t header = byte(8) + std::size_t{256} * byte(9);
  const std::size_t first = kPreamble + header + static_cast<std::size_t>(layer * kTokens * kTopk);
  routing::Routing routing = test::make_routing(kTokens, kTopk, 32);
  for (std::size_t i = 0; i < static_cast<std::size_t>(kTokens * kTopk); ++i)
    routing.expert_ids.push_back(byte(first + i));
  return routing;
}

class Trace : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(trace_path())) GTEST_SKIP() << "no " << trace_path() << ": set EPBENCH_SHARED";
    routing = read_layer(trace_path(), 12);
  }
  routing::Routing routing;
  placement::Placement block = placement::make_placement("block", 32, 4);
};

TEST_F(Trace, Layer12OnFourRanks) {
  for (const int chunks : {1, 4}) {
    const Plan plan = make_plan(routing, block, placement::block_topology(4, 1), chunks);
    const ByteCounts copies = count_bytes(plan, 1, core::DType::bf16);
    EXPECT_EQ(copies.useful, 98'304 * 2);
    EXPECT_EQ(copies.logical_rank, 73'929 * 2);
    EXPECT_EQ(copies.logical_node, 73'929 * 2);
    EXPECT_EQ(copies.wire_rank, 76'475 * 2);
    EXPECT_EQ(copies.wire_node, 76'475 * 2);
  }
}

TEST_F(Trace, RouteCostSeesTheSameRemoteCopies) {
  const cost::RouteCost cost = cost::route_cost(routing, block.expert_ranks(), 4, 5760, 400);
  EXPECT_EQ(cost.remote_tokens, 76'475);
  EXPECT_EQ(cost.local_tokens, 98'304 - 76'475);
  EXPECT_EQ(cost.total_remote_bytes, 440'496'000);
  EXPECT_EQ(cost.comm_time_ms, 8.8099);  // 440,496,000 / 50e9 s = 8.80992 ms
}

}  // namespace
}  // namespace ep::plan
