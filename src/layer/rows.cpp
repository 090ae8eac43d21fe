#include "layer/rows.hpp"

#include <numeric>

namespace ep::layer {

namespace {

/// Row sums of counts [ranks, max_local] and their exclusive prefix; returns the total.
std::int64_t sum_by_rank(std::span<const std::int32_t> counts, int ranks, int max_local,
                         std::vector<std::int64_t>& rows, std::vector<std::int64_t>& offsets) {
  rows.assign(static_cast<std::size_t>(ranks), 0);
  offsets.assign(static_cast<std::size_t>(ranks), 0);
  std::int64_t total = 0;
  for (int rank = 0; rank < ranks; ++rank) {
    const auto r = static_cast<std::size_t>(rank);
    offsets[r] = total;
    for (int slot = 0; slot < max_local; ++slot) {
      rows[r] += counts[static_cast<std::size_t>(kernels::bucket_key(rank, slot, max_local))];
    }
    total += rows[r];
  }
  return total;
}

}  // namespace

void ChunkRows::lay_out(int ranks, int max_local) {
  sent = sum_by_rank(send_counts, ranks, max_local, send_rows, send_offsets);
  received = sum_by_rank(recv_counts, ranks, max_local, recv_rows, recv_offsets);
  expert_rows.assign(static_cast<std::size_t>(max_local), 0);
  to_experts.clear();
  to_arrival.clear();
  std::vector<std::int64_t> arrival = recv_offsets;  // next row of each source, slot after slot
  std::int64_t expert_row = 0;
  for (int slot = 0; slot < max_local; ++slot) {
    for (int source = 0; source < ranks; ++source) {
      const std::int64_t rows = recv_counts[static_cast<std::size_t>(kernels::bucket_key(source, slot, max_local))];
      if (rows == 0) continue;
      std::int64_t& from = arrival[static_cast<std::size_t>(source)];
      to_experts.push_back({from, expert_row, rows});
      from += rows;
      expert_row += rows;
      expert_rows[static_cast<std::size_t>(slot)] += rows;
    }
  }
  // The way back, in the order of its own output rows.
  std::vector<std::int64_t> expert_next(static_cast<std::size_t>(max_local));
  std::exclusive_scan(expert_rows.begin(), expert_rows.end(), expert_next.begin(), std::int64_t{0});
  std::int64_t arrival_row = 0;
  for (int source = 0; source < ranks; ++source) {
    for (int slot = 0; slot < max_local; ++slot) {
      const std::int64_t rows = recv_counts[static_cast<std::size_t>(kernels::bucket_key(source, slot, max_local))];
      if (rows == 0) continue;
      std::int64_t& from = expert_next[static_cast<std::size_t>(slot)];
      to_arrival.push_back({from, arrival_row, rows});
      from += rows;
      arrival_row += rows;
    }
  }
}

kernels::OwnRows ChunkRows::own_sent(int rank) const {
  const auto r = static_cast<std::size_t>(rank);
  return {send_offsets[r], send_offsets[r] + send_rows[r]};
}

kernels::OwnRows ChunkRows::own_received(int rank) const {
  const auto r = static_cast<std::size_t>(rank);
  return {recv_offsets[r], recv_offsets[r] + recv_rows[r]};
}

}  // namespace ep::layer
