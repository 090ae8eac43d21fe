#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "core/dtype.hpp"
#include "core/matrix.hpp"
#include "placement/placement.hpp"
#include "plan/loads.hpp"
#include "routing/routing.hpp"

namespace ep::plan {

/// Sizes of the layer that do not depend on who is routed where.
struct LayerShape {
  int hidden = 0;      // H: elements of a token's hidden state
  int ffn = 0;         // width of one expert
  int shared_ffn = 0;  // width of the shared expert; 0: none
  core::DType dispatch_dtype = core::DType::bf16;
  core::DType combine_dtype = core::DType::bf16;
};

/// Element type in which tokens rest on their rank and gradients travel to the experts: the dispatch type, but where
/// that is fp8, into which only hidden states are quantised, the combine type.
core::DType resting_dtype(const LayerShape& shape);

/// Bytes of one token's payload: H elements, and for fp8 one fp32 scale for every 128 of them.
std::int64_t payload_bytes(int hidden, core::DType dtype);

/// Bytes one row takes in a buffer and on the wire: the payload, for fp8 padded to 16 bytes.
std::int64_t row_bytes(int hidden, core::DType dtype);

/// Sums over a chunk's traffic that do not need the traffic itself: what predicting needs, of a job too large to route.
struct ExpectedTraffic {
  std::vector<std::int64_t> sent;          // [ranks] copies of a rank's tokens, own-rank ones included
  std::vector<std::int64_t> received;      // [ranks] copies for a rank's experts, likewise
  core::Matrix<std::int64_t> expert_rows;  // [ranks, max_local] copies for each local expert
  ExchangeLoads loads;                     // [ranks] what dispatch puts on the links
};

/// What one chunk of every rank's tokens moves, seen from above (every rank builds the same).
struct ChunkTraffic {
  std::vector<std::int64_t> tokens;          // [ranks] tokens of the chunk
  core::Matrix<std::int64_t> expert_copies;  // [ranks, experts] copies that a rank's tokens send to an expert
  core::Matrix<std::int64_t> copies;         // [ranks, ranks] the traffic matrix of dispatch; combine is its transpose
  std::int64_t token_rank_pairs = 0;         // distinct (token, destination rank), own rank included
  std::int64_t token_node_pairs = 0;         // distinct (token, destination node), own node included
  std::shared_ptr<const ExpectedTraffic> expected{};  // not null: in place of the matrices, which are empty
};

/// Bytes of one direction, summed over ranks and chunks. Masked slots count nothing.
struct ByteCounts {
  std::int64_t useful = 0;        // valid copies x payload, local ones included
  std::int64_t logical_rank = 0;  // distinct (token, rank) x payload, own included
  std::int64_t logical_node = 0;  // distinct (token, node) x payload, own included
  std::int64_t wire_rank = 0;     // bytes that leave a rank, the padding of rows included
  std::int64_t wire_node = 0;     // bytes that leave a node, likewise
  std::int64_t metadata = 0;      // counts exchanged, apart from all of the above
  bool operator==(const ByteCounts&) const = default;
};

/// The traffic of one layer under one placement, cut into chunks. Pure host data, linear time in copies.
struct Plan {
  int topk = 0;
  placement::Placement placement;
  placement::Topology topology;
  std::vector<ChunkTraffic> chunks;
  bool counts_known = false;  // to all ranks, from an earlier iteration: schedules need not exchange them

  [[nodiscard]] int ranks() const { return placement.ranks(); }
};

/// Tokens [first, last) of the whole job that make chunk `chunk` of `chunks` on `rank`.
struct TokenRange {
  std::int64_t first = 0;
  std::int64_t last = 0;
  [[nodiscard]] std::int64_t size() const { return last - first; }
};
TokenRange chunk_tokens(std::int64_t tokens, int ranks, int rank, int chunks, int chunk);

/// Builds the traffic of `chunks` >= 1 chunks. Throws InputError when routing, placement and topology disagree in
/// experts or ranks.
Plan make_plan(const routing::Routing& routing, const placement::Placement& placement,
               const placement::Topology& topology, int chunks);

/// Dispatch bytes, or with the combine dtype combine bytes (the counts are symmetric), without metadata.
ByteCounts count_bytes(const Plan& plan, int hidden, core::DType dtype);

/// One rank's part of one chunk: the order its copies leave in and the rows that arrive. Rows are copies.
/// Bucket order: by (destination rank, local expert), stable in (token, k). Arrival order: by (source rank, local
/// expert). Expert order: by (local expert, source rank).
struct RankPlan {
  std::vector<std::int32_t> send_counts;     // [ranks, max_local] copies to (rank, slot)
  std::vector<std::int32_t> recv_counts;     // [ranks, max_local] copies from rank to my slot
  std::vector<std::int32_t> position;        // [chunk tokens, topk] bucket-order row of a copy, -1 when masked
  std::vector<std::int64_t> send_offsets;    // [ranks + 1] first row for each destination
  std::vector<std::int64_t> recv_offsets;    // [ranks + 1] first row from each source
  std::vector<std::int64_t> expert_offsets;  // [max_local + 1] first row of each local expert, expert order
};
RankPlan make_rank_plan(const Plan& plan, const routing::Routing& routing, int rank, int chunk);

}  // namespace ep::plan
