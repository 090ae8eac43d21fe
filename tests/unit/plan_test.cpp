#include "plan/plan.hpp"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/random.hpp"
#include "kernels/e4m3.hpp"
#include "tests/unit/expect_input_error.hpp"
#include "tests/unit/make_routing.hpp"

namespace ep::plan {
namespace {

using placement::block_topology;
using placement::make_placement;
using placement::Placement;
using routing::kMasked;
using routing::Routing;
using testing::ElementsAre;

/// Distinct random experts for every token; every eighth slot is masked when `masked`.
Routing random_routing(std::int64_t tokens, int topk, int experts, bool masked) {
  Routing routing = test::make_routing(tokens, topk, experts);
  core::Random random(7, static_cast<std::uint64_t>(tokens));
  std::vector<std::int32_t> order(static_cast<std::size_t>(experts));
  std::iota(order.begin(), order.end(), 0);
  for (std::int64_t token = 0; token < tokens; ++token) {
    for (int k = 0; k < topk; ++k) {
      const auto other = static_cast<std::size_t>(k) + random.below(static_cast<std::uint64_t>(experts - k));
      std::swap(order[static_cast<std::size_t>(k)], order[other]);
      const bool mask = masked && random.below(8) == 0;
      routing.expert_ids.push_back(mask ? kMasked : order[static_cast<std::size_t>(k)]);
    }
  }
  return routing;
}

TEST(PayloadBytes, Fp8CarriesAScaleForEvery128Elements) {
  EXPECT_EQ(payload_bytes(4096, core::DType::f32), 16384);
  EXPECT_EQ(payload_bytes(4096, core::DType::bf16), 8192);
  EXPECT_EQ(payload_bytes(4096, core::DType::e4m3), 4096 + 4 * 32);
  EXPECT_EQ(payload_bytes(129, core::DType::e4m3), 129 + 4 * 2);
  EXPECT_EQ(row_bytes(129, core::DType::e4m3), 144);
  EXPECT_EQ(row_bytes(128, core::DType::e4m3), 144);  // 132 padded to 16
  EXPECT_EQ(row_bytes(129, core::DType::bf16), 258);
  EXPECT_EQ(payload_bytes(2'000'000'000, core::DType::f32), 8'000'000'000);
}

TEST(PayloadBytes, RowsAreAsLongAsTheKernelsMakeThem) {
  for (int hidden = 1; hidden < 700; ++hidden)
    EXPECT_EQ(row_bytes(hidden, core::DType::e4m3), kernels::e4m3_row_bytes(hidden));
}

TEST(RestingDType, IsNeverFp8) {
  using enum core::DType;
  const auto resting = [](core::DType dispatch, core::DType combine) {
    return resting_dtype({8, 8, 0, dispatch, combine});
  };
  EXPECT_EQ(resting(bf16, f32), bf16);
  EXPECT_EQ(resting(f32, bf16), f32);
  EXPECT_EQ(resting(e4m3, bf16), bf16);
  EXPECT_EQ(resting(e4m3, f32), f32);
  EXPECT_EQ(resting(e4m3, e4m3), bf16);
}

// Two ranks, two experts each: tokens 0, 1, 2 on rank 0 and 3, 4 on rank 1, worked out by hand.
Routing small_routing() {
  return test::make_routing(5, 2, 4, {3, 0, 0, 1, 3, kMasked, 2, 3, 1, 2});
}

TEST(Plan, CountsWorkedByHand) {
  const Plan plan = make_plan(small_routing(), make_placement("block", 4, 2), block_topology(2, 1), 1);
  ASSERT_EQ(plan.chunks.size(), 1U);
  const ChunkTraffic& traffic = plan.chunks[0];
  EXPECT_THAT(traffic.tokens, ElementsAre(3, 2));
  EXPECT_THAT(traffic.expert_copies.row(0), ElementsAre(2, 1, 0, 2));
  EXPECT_THAT(traffic.expert_copies.row(1), ElementsAre(0, 1, 2, 1));
  EXPECT_THAT(traffic.copies.values(), ElementsAre(3, 2, 1, 3));
  EXPECT_EQ(traffic.token_rank_pairs, 2 + 1 + 1 + 1 + 2);
  EXPECT_EQ(traffic.token_node_pairs, traffic.token_rank_pairs);
  const ByteCounts bytes = count_bytes(plan, 8, core::DType::bf16);
  EXPECT_EQ(bytes.useful, 9 * 16);
  EXPECT_EQ(bytes.logical_rank, 7 * 16);
  EXPECT_EQ(bytes.wire_rank, 3 * 16);
  EXPECT_EQ(bytes.wire_node, 3 * 16);
  EXPECT_EQ(bytes.metadata, 0);
  const ByteCounts fp8 = count_bytes(plan, 100, core::DType::e4m3);
  EXPECT_EQ(fp8.useful, 9 * 104);
  EXPECT_EQ(fp8.logical_rank, 7 * 104);
  EXPECT_EQ(fp8.wire_rank, 3 * 112) << "padding travels, but is of no use";
  EXPECT_EQ(fp8.wire_node, 3 * 112);
  const Plan one_node = make_plan(small_routing(), make_placement("block", 4, 2), block_topology(2, 2), 1);
  EXPECT_EQ(count_bytes(one_node, 8, core::DType::bf16).logical_node, 5 * 16);
  EXPECT_EQ(count_bytes(one_node, 8, core::DType::bf16).wire_node, 0);
}

TEST(RankPlan, OrdersWorkedByHand) {
  const Routing routing = small_routing();
  const Plan plan = make_plan(routing, make_placement("block", 4, 2), block_topology(2, 1), 1);
  const RankPlan rank0 = make_rank_plan(plan, routing, 0, 0);
  EXPECT_THAT(rank0.send_counts, ElementsAre(2, 1, 0, 2));
  EXPECT_THAT(rank0.recv_counts, ElementsAre(2, 1, 0, 1));
  EXPECT_THAT(rank0.position, ElementsAre(3, 0, 1, 2, 4, -1));
  EXPECT_THAT(rank0.send_offsets, ElementsAre(0, 3, 5));
  EXPECT_THAT(rank0.recv_offsets, ElementsAre(0, 3, 4));
  EXPECT_THAT(rank0.expert_offsets, ElementsAre(0, 2, 4));
  const RankPlan rank1 = make_rank_plan(plan, routing, 1, 0);
  EXPECT_THAT(rank1.position, ElementsAre(1, 3, 0, 2));
  EXPECT_THAT(rank1.recv_counts, ElementsAre(0, 2, 2, 1));
  EXPECT_THAT(rank1.expert_offsets, ElementsAre(0, 2, 5));
}

TEST(ChunkTokens, PartitionEveryRanksTokens) {
  for (const std::int64_t tokens : {0, 1, 3, 10, 97}) {
    for (const int ranks : {1, 2, 3, 7}) {
      std::int64_t next = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        for (int chunk = 0; chunk < 4; ++chunk) {
          const TokenRange range = chunk_tokens(tokens, ranks, rank, 4, chunk);
          EXPECT_EQ(range.first, next);
          EXPECT_GE(range.size(), 0);
          next = range.last;
          for (std::int64_t t = range.first; t < range.last; ++t)
            EXPECT_EQ(routing::rank_of_token(t, tokens, ranks), rank);
        }
      }
      EXPECT_EQ(next, tokens);
    }
  }
}

TEST(Plan, RefusesDisagreement) {
  const Routing routing = small_routing();
  const auto plan = [&](int experts, int topology_ranks, int chunks) {
    return [=, &routing] {
      make_plan(routing, make_placement("block", experts, 2), block_topology(topology_ranks, 1), chunks);
    };
  };
  EXPECT_NO_THROW(plan(4, 2, 1)());
  test::expect_input_error(plan(5, 2, 1), {"experts", "5", "test", "4"});
  test::expect_input_error(plan(4, 3, 1), {"ranks", "2", "3"});
  test::expect_input_error(plan(4, 2, 0), {"chunks", "0"});
}

struct Case {
  std::int64_t tokens;
  int topk;
  int experts;
  int ranks;
  int chunks;
  const char* placement;
  bool masked;
};

/// tokens below ranks leave ranks without tokens, experts below ranks leave ranks without experts.
std::vector<Case> cases() {
  std::vector<Case> all;
  for (int ranks = 1; ranks <= 9; ++ranks) {
    for (const int chunks : {1, 2, 3, 16}) {
      for (const std::int64_t tokens : {0, 1, 5, 64, 101}) {
        const bool even = (ranks + chunks) % 2 == 0;
        all.push_back({tokens, 3, 7, ranks, chunks, even ? "block" : "round-robin", tokens % 2 == 1});
      }
    }
    all.push_back({200, 4, 32, ranks, 2, "block", false});
    all.push_back({50, 8, 8, ranks, 1, "round-robin", true});
  }
  return all;
}

class EveryPlan : public testing::TestWithParam<Case> {
 protected:
  Routing routing = random_routing(GetParam().tokens, GetParam().topk, GetParam().experts, GetParam().masked);
  Placement placement = make_placement(GetParam().placement, GetParam().experts, GetParam().ranks);
  placement::Topology topology = block_topology(GetParam().ranks, 2);
  Plan plan = make_plan(routing, placement, topology, GetParam().chunks);
};

TEST_P(EveryPlan, AgreesWithCountingTokenByToken) {
  core::Matrix<std::int64_t> copies(plan.ranks(), plan.ranks());
  std::set<std::pair<std::int64_t, int>> token_rank;
  std::set<std::pair<std::int64_t, int>> token_node;
  for (std::int64_t token = 0; token < routing.tokens; ++token) {
    for (const std::int32_t expert : routing.experts_of(token)) {
      if (expert == kMasked) continue;
      const int rank = placement.rank_of(expert);
      ++copies(routing::rank_of_token(token, routing.tokens, plan.ranks()), rank);
      token_rank.emplace(token, rank);
      token_node.emplace(token, rank / 2);
    }
  }
  core::Matrix<std::int64_t> sum(plan.ranks(), plan.ranks());
  std::int64_t rank_pairs = 0;
  std::int64_t node_pairs = 0;
  std::int64_t tokens = 0;
  for (const ChunkTraffic& chunk : plan.chunks) {
    for (std::size_t i = 0; i < sum.values().size(); ++i) sum.values()[i] += chunk.copies.values()[i];
    rank_pairs += chunk.token_rank_pairs;
    node_pairs += chunk.token_node_pairs;
    tokens += std::accumulate(chunk.tokens.begin(), chunk.tokens.end(), std::int64_t{0});
  }
  EXPECT_EQ(sum, copies);
  EXPECT_EQ(rank_pairs, static_cast<std::int64_t>(token_rank.size()));
  EXPECT_EQ(node_pairs, static_cast<std::int64_t>(token_node.size()));
  EXPECT_EQ(tokens, routing.tokens);
}

TEST_P(EveryPlan, PositionsAreAStablePermutation) {
  for (int chunk = 0; chunk < GetParam().chunks; ++chunk) {
    for (int rank = 0; rank < plan.ranks(); ++rank) {
      const RankPlan mine = make_rank_plan(plan, routing, rank, chunk);
      const TokenRange range = chunk_tokens(routing.tokens, plan.ranks(), rank, GetParam().chunks, chunk);
      // What a stable sort by (rank, slot) makes of the copies in (token, k) order.
      std::vector<std::tuple<int, int, std::size_t>> expected;
      ASSERT_EQ(mine.position.size(), static_cast<std::size_t>(range.size() * routing.topk));
      for (std::size_t i = 0; i < mine.position.size(); ++i) {
        const int expert = routing.expert_ids[static_cast<std::size_t>(range.first * routing.topk) + i];
        if (expert == kMasked) {
          EXPECT_EQ(mine.position[i], -1);
          continue;
        }
        expected.emplace_back(placement.rank_of(expert), placement.slot_of(expert), i);
      }
      std::sort(expected.begin(), expected.end());
      ASSERT_EQ(mine.send_offsets.back(), static_cast<std::int64_t>(expected.size()));
      for (std::size_t row = 0; row < expected.size(); ++row) {
        const auto& [to, slot, copy] = expected[row];
        EXPECT_EQ(mine.position[copy], static_cast<std::int32_t>(row));
        EXPECT_LE(mine.send_offsets[static_cast<std::size_t>(to)], static_cast<std::int64_t>(row));
        EXPECT_GT(mine.send_offsets[static_cast<std::size_t>(to) + 1], static_cast<std::int64_t>(row));
      }
    }
  }
}

TEST_P(EveryPlan, WhatOneSendsAnotherReceives) {
  const auto max_local = static_cast<std::size_t>(placement.max_local());
  for (int chunk = 0; chunk < GetParam().chunks; ++chunk) {
    const ChunkTraffic& traffic = plan.chunks[static_cast<std::size_t>(chunk)];
    std::vector<RankPlan> all;
    for (int rank = 0; rank < plan.ranks(); ++rank) all.push_back(make_rank_plan(plan, routing, rank, chunk));
    for (std::size_t a = 0; a < all.size(); ++a) {
      EXPECT_EQ(all[a].recv_offsets.back(), all[a].expert_offsets.back());
      std::vector<std::int64_t> by_slot(max_local);
      for (std::size_t b = 0; b < all.size(); ++b) {
        for (std::size_t slot = 0; slot < max_local; ++slot) {
          EXPECT_EQ(all[a].send_counts[b * max_local + slot], all[b].recv_counts[a * max_local + slot]);
          by_slot[slot] += all[a].recv_counts[b * max_local + slot];
        }
        EXPECT_EQ(all[a].send_offsets[b + 1] - all[a].send_offsets[b],
                  traffic.copies(static_cast<std::int64_t>(a), static_cast<std::int64_t>(b)));
        EXPECT_EQ(all[a].recv_offsets[b + 1] - all[a].recv_offsets[b],
                  traffic.copies(static_cast<std::int64_t>(b), static_cast<std::int64_t>(a)));
      }
      for (std::size_t slot = 0; slot < max_local; ++slot) {
        EXPECT_EQ(all[a].expert_offsets[slot + 1] - all[a].expert_offsets[slot], by_slot[slot]);
      }
    }
  }
}

TEST_P(EveryPlan, ByteCountsAreOrdered) {
  const ByteCounts bytes = count_bytes(plan, 100, core::DType::f32);
  EXPECT_LE(bytes.logical_node, bytes.logical_rank);
  EXPECT_LE(bytes.logical_rank, bytes.useful);
  EXPECT_LE(bytes.wire_node, bytes.wire_rank);
  EXPECT_LE(bytes.wire_rank, bytes.useful);
  const auto valid =
      std::count_if(routing.expert_ids.begin(), routing.expert_ids.end(), [](int id) { return id >= 0; });
  EXPECT_EQ(bytes.useful, valid * 400);
  EXPECT_EQ(count_bytes(make_plan(routing, placement, topology, 1), 100, core::DType::f32).logical_rank,
            bytes.logical_rank);
}

INSTANTIATE_TEST_SUITE_P(Shapes, EveryPlan, testing::ValuesIn(cases()), [](const auto& shape) {
  const Case& c = shape.param;
  return "t" + std::to_string(c.tokens) + "k" + std::to_string(c.topk) + "e" + std::to_string(c.experts) + "r" +
         std::to_string(c.ranks) + "c" + std::to_string(c.chunks);
});

}  // namespace
}  // namespace ep::plan
