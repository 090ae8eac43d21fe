#include "plan/plan.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "core/error.hpp"
#include "core/parse.hpp"

namespace ep::plan {

namespace {

using core::InputError;

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

void check_agreement(const routing::Routing& routing, const placement::Placement& placement,
                     const placement::Topology& topology, int chunks) {
  if (routing.experts != placement.experts()) {
    throw InputError(placement.name(), "experts of the placement", std::to_string(placement.experts()),
                     fmt::format("the routing {} has {}", routing.source, routing.experts));
  }
  if (topology.ranks() != placement.ranks()) {
    throw InputError(placement.name(), "ranks of the placement", std::to_string(placement.ranks()),
                     fmt::format("the topology has {}", topology.ranks()));
  }
  if (chunks < 1) throw InputError("plan", "chunks", std::to_string(chunks), "wanted at least 1");
}

/// Counts each of a token's destinations once, without a set: a destination remembers the last token it was counted
/// for.
class DistinctCounter {
 public:
  explicit DistinctCounter(int destinations) : last_token_(static_cast<std::size_t>(destinations), -1) {}

  void see(int destination, std::int64_t token) {
    auto& last = last_token_[static_cast<std::size_t>(destination)];
    pairs_ += last != token;
    last = token;
  }
  [[nodiscard]] std::int64_t pairs() const { return pairs_; }

 private:
  std::vector<std::int64_t> last_token_;
  std::int64_t pairs_ = 0;
};

ChunkTraffic count_chunk(const routing::Routing& routing, const Plan& plan, int chunks, int chunk) {
  const auto& placement = plan.placement;
  const int ranks = plan.ranks();
  ChunkTraffic traffic{std::vector<std::int64_t>(static_cast<std::size_t>(ranks)),
                       core::Matrix<std::int64_t>(ranks, placement.experts()),
                       core::Matrix<std::int64_t>(ranks, ranks)};
  DistinctCounter by_rank(ranks);
  DistinctCounter by_node(plan.topology.nodes);
  for (int source = 0; source < ranks; ++source) {
    const TokenRange range = chunk_tokens(routing.tokens, ranks, source, chunks, chunk);
    traffic.tokens[static_cast<std::size_t>(source)] = range.size();
    for (std::int64_t token = range.first; token < range.last; ++token) {
      for (const std::int32_t expert : routing.experts_of(token)) {
        if (expert == routing::kMasked) continue;
        const int rank = placement.rank_of(expert);
        ++traffic.expert_copies(source, expert);
        by_rank.see(rank, token);
        by_node.see(plan.topology.node_of_rank[static_cast<std::size_t>(rank)], token);
      }
    }
    for (int expert = 0; expert < placement.experts(); ++expert) {
      traffic.copies(source, placement.rank_of(expert)) += traffic.expert_copies(source, expert);
    }
  }
  traffic.token_rank_pairs = by_rank.pairs();
  traffic.token_node_pairs = by_node.pairs();
  return traffic;
}

/// Prefix sums of row totals of a table [rows, cols]: where each row's block begins, and the end.
std::vector<std::int64_t> block_offsets(const std::vector<std::int32_t>& table, int rows, int cols) {
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(rows) + 1);
  for (int row = 0; row < rows; ++row) {
    const auto first = table.begin() + std::ptrdiff_t{row} * cols;
    offsets[static_cast<std::size_t>(row) + 1] =
        std::accumulate(first, first + cols, offsets[static_cast<std::size_t>(row)]);
  }
  return offsets;
}

/// Row of each copy in bucket order [tokens, topk]: a stable counting sort by (destination rank, local expert).
std::vector<std::int32_t> bucket_positions(const placement::Placement& placement, const routing::Routing& routing,
                                           TokenRange range, const std::vector<std::int32_t>& counts) {
  std::vector<std::int32_t> next(counts.size());
  std::exclusive_scan(counts.begin(), counts.end(), next.begin(), 0);
  const auto first = routing.expert_ids.begin() + range.first * routing.topk;
  std::vector<std::int32_t> position(static_cast<std::size_t>(range.size() * routing.topk));
  std::transform(first, first + range.size() * routing.topk, position.begin(), [&](std::int32_t expert) {
    if (expert == routing::kMasked) return std::int32_t{-1};
    const int bucket = placement.rank_of(expert) * placement.max_local() + placement.slot_of(expert);
    return next[static_cast<std::size_t>(bucket)]++;
  });
  return position;
}

void add_expected(ByteCounts& copies, const ExpectedTraffic& traffic) {
  double within = 0;
  double between = 0;
  for (const RankLoad& load : traffic.loads) {
    within += load.out_within.rows;
    between += load.out_between.rows;
  }
  copies.useful += std::accumulate(traffic.sent.begin(), traffic.sent.end(), std::int64_t{0});
  copies.wire_rank += std::llround(within + between);
  copies.wire_node += std::llround(between);
}

std::int32_t row_count(std::int64_t copies) {
  if (!std::in_range<std::int32_t>(copies)) {
    throw InputError("plan", "copies of one rank and chunk", std::to_string(copies),
                     "wanted fewer than 2^31: use more chunks");
  }
  return static_cast<std::int32_t>(copies);
}

}  // namespace

core::DType resting_dtype(const LayerShape& shape) {
  if (shape.dispatch_dtype != core::DType::e4m3) return shape.dispatch_dtype;
  return shape.combine_dtype == core::DType::e4m3 ? core::DType::bf16 : shape.combine_dtype;
}

std::int64_t payload_bytes(int hidden, core::DType dtype) {
  constexpr std::int64_t kScaleBlock = 128;
  const std::int64_t elements = hidden * core::size_of(dtype);
  return dtype == core::DType::e4m3 ? elements + 4 * ceil_div(hidden, kScaleBlock) : elements;
}

std::int64_t row_bytes(int hidden, core::DType dtype) {
  constexpr std::int64_t kAlignment = 16;
  const std::int64_t payload = payload_bytes(hidden, dtype);
  return dtype == core::DType::e4m3 ? ceil_div(payload, kAlignment) * kAlignment : payload;
}

TokenRange chunk_tokens(std::int64_t tokens, int ranks, int rank, int chunks, int chunk) {
  const std::int64_t first = routing::first_token(tokens, ranks, rank);
  const std::int64_t own = routing::first_token(tokens, ranks, rank + 1) - first;
  return {first + routing::first_token(own, chunks, chunk), first + routing::first_token(own, chunks, chunk + 1)};
}

Plan make_plan(const routing::Routing& routing, const placement::Placement& placement,
               const placement::Topology& topology, int chunks) {
  check_agreement(routing, placement, topology, chunks);
  Plan plan{routing.topk, placement, topology, {}};
  plan.chunks.reserve(static_cast<std::size_t>(chunks));
  for (int chunk = 0; chunk < chunks; ++chunk) plan.chunks.push_back(count_chunk(routing, plan, chunks, chunk));
  return plan;
}

ByteCounts count_bytes(const Plan& plan, int hidden, core::DType dtype) {
  ByteCounts copies;  // in payloads, until multiplied
  for (const ChunkTraffic& chunk : plan.chunks) {
    copies.logical_rank += chunk.token_rank_pairs;
    copies.logical_node += chunk.token_node_pairs;
    if (chunk.expected) {
      add_expected(copies, *chunk.expected);
      continue;
    }
    for (int source = 0; source < plan.ranks(); ++source) {
      for (int destination = 0; destination < plan.ranks(); ++destination) {
        const std::int64_t count = chunk.copies(source, destination);
        copies.useful += count;
        if (destination != source) copies.wire_rank += count;
        if (!plan.topology.same_node(source, destination)) copies.wire_node += count;
      }
    }
  }
  const std::int64_t payload = payload_bytes(hidden, dtype);
  const std::int64_t row = row_bytes(hidden, dtype);
  return {.useful = core::checked_product(copies.useful, payload, "useful bytes"),
          .logical_rank = core::checked_product(copies.logical_rank, payload, "logical bytes by rank"),
          .logical_node = core::checked_product(copies.logical_node, payload, "logical bytes by node"),
          .wire_rank = core::checked_product(copies.wire_rank, row, "wire bytes by rank"),
          .wire_node = core::checked_product(copies.wire_node, row, "wire bytes by node")};
}

RankPlan make_rank_plan(const Plan& plan, const routing::Routing& routing, int rank, int chunk) {
  const auto& placement = plan.placement;
  const auto& traffic = plan.chunks[static_cast<std::size_t>(chunk)];
  const int ranks = plan.ranks();
  const int max_local = placement.max_local();
  const auto cell = [&](int row, int slot) { return static_cast<std::size_t>(row * max_local + slot); };
  RankPlan result;
  result.send_counts.resize(cell(ranks, 0));
  result.recv_counts.resize(cell(ranks, 0));
  result.expert_offsets.resize(static_cast<std::size_t>(max_local) + 1);
  for (int expert = 0; expert < placement.experts(); ++expert) {
    result.send_counts[cell(placement.rank_of(expert), placement.slot_of(expert))] =
        row_count(traffic.expert_copies(rank, expert));
  }
  for (const std::int32_t expert : placement.experts_of(rank)) {
    const int slot = placement.slot_of(expert);
    for (int source = 0; source < ranks; ++source) {
      result.recv_counts[cell(source, slot)] = row_count(traffic.expert_copies(source, expert));
      result.expert_offsets[static_cast<std::size_t>(slot) + 1] += traffic.expert_copies(source, expert);
    }
  }
  std::partial_sum(result.expert_offsets.begin(), result.expert_offsets.end(), result.expert_offsets.begin());
  result.send_offsets = block_offsets(result.send_counts, ranks, max_local);
  result.recv_offsets = block_offsets(result.recv_counts, ranks, max_local);
  row_count(result.send_offsets.back());
  row_count(result.recv_offsets.back());
  const TokenRange range = chunk_tokens(routing.tokens, ranks, rank, static_cast<int>(plan.chunks.size()), chunk);
  result.position = bucket_positions(placement, routing, range, result.send_counts);
  return result;
}

}  // namespace ep::plan
