#pragma once
#include "plan/plan.hpp"

namespace ep::test {

/// A plan with the given dispatch matrix [ranks, ranks] in each chunk, one expert a rank, one node.
inline plan::Plan plan_of(const core::Matrix<std::int64_t>& copies, int chunks = 1) {
  const int ranks = static_cast<int>(copies.rows());
  plan::ChunkTraffic traffic;
  traffic.expert_copies = copies;
  traffic.copies = copies;
  for (int rank = 0; rank < ranks; ++rank) {
    std::int64_t tokens = 0;
    for (const std::int64_t count : copies.row(rank)) tokens += count;
    traffic.tokens.push_back(tokens);
  }
  return {1, placement::make_placement("block", ranks, ranks), placement::block_topology(ranks, ranks),
          std::vector<plan::ChunkTraffic>(static_cast<std::size_t>(chunks), traffic)};
}

/// Every rank sends `rows` to every rank, itself included.
inline plan::Plan even_plan(int ranks, std::int64_t rows, int chunks = 1) {
  return plan_of(core::Matrix<std::int64_t>(ranks, ranks, rows), chunks);
}

/// Rows of 64 bf16 elements, experts 32 wide.
inline plan::LayerShape small_shape(int shared_ffn) {
  return {64, 32, shared_ffn, core::DType::bf16, core::DType::bf16};
}

/// The same, sent to the experts as fp8.
inline plan::LayerShape fp8_shape(int shared_ffn) {
  return {64, 32, shared_ffn, core::DType::e4m3, core::DType::bf16};
}

}  // namespace ep::test
