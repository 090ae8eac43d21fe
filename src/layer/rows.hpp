#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/regroup.hpp"
#include "kernels/token_layout.hpp"

namespace ep::layer {

/// Where one rank's rows of one chunk lie, from the counts the ranks exchanged. Offsets are rows from the chunk's base.
struct ChunkRows {
  std::int64_t first_token = 0;  // of this rank's tokens
  std::int64_t tokens = 0;
  std::int64_t send_base = 0;                // first row of the chunk in buffers of bucket order
  std::int64_t recv_base = 0;                // first row of the chunk in buffers of arrival or expert order
  std::vector<std::int32_t> send_counts;     // [ranks, max_local]
  std::vector<std::int32_t> recv_counts;     // [ranks, max_local]
  std::vector<std::int64_t> send_rows;       // [ranks]
  std::vector<std::int64_t> send_offsets;    // [ranks]
  std::vector<std::int64_t> recv_rows;       // [ranks]
  std::vector<std::int64_t> recv_offsets;    // [ranks]
  std::vector<std::int64_t> expert_rows;     // [max_local]
  std::vector<kernels::Segment> to_experts;  // arrival order -> expert order
  std::vector<kernels::Segment> to_arrival;  // expert order -> arrival order
  std::int64_t sent = 0;                     // rows in all, own included
  std::int64_t received = 0;

  /// Fills everything after recv_counts from the two count tables.
  void lay_out(int ranks, int max_local);
  [[nodiscard]] kernels::OwnRows own_sent(int rank) const;
  [[nodiscard]] kernels::OwnRows own_received(int rank) const;
};

}  // namespace ep::layer
