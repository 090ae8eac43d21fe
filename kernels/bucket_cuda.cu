// A stable counting sort in four kernels: count per tile, scan over tiles, scan over buckets, place. Tiles count
// experts rather than buckets: there are at most 1,024 of those, however many ranks there are. The least that any sort
// moves is 4 bytes a slot in, and 4 bytes a slot and 4 a bucket out. This one reads the slots twice, since a copy's
// place is not known before all are counted, and adds the tables that its kernels hand on.

#include <algorithm>

#include "kernels/bucket.hpp"
#include "kernels/launch.cuh"

namespace ep::kernels {
namespace {

constexpr int kMaxExperts = 1024;
constexpr int kRounds = 4;                                 // slots of a lane
constexpr int kWarpSlots = kRounds * gpu::kWarp;           // consecutive slots of a warp, in the order of the tokens
constexpr int kTileSlots = kWarpSlots * gpu::kBlockWarps;  // of a block
constexpr int kMostScanThreads = 1024;

struct Layout {
  std::int64_t slots;
  std::int64_t tiles;
  std::int32_t* tile_counts;    // [tiles, experts], then where the tile's first copy for the expert goes in its bucket
  std::int32_t* bucket_starts;  // [buckets]
};

Layout lay_out(const BucketArgs& args) {
  const std::int64_t slots = args.tokens * args.topk;
  const std::int64_t tiles = (slots + kTileSlots - 1) / kTileSlots;
  auto* const scratch = static_cast<std::int32_t*>(args.scratch);
  return {slots, tiles, scratch, scratch + tiles * args.experts};
}

/// The expert of this lane's slot in `round`, or -1.
__device__ inline std::int32_t expert_at(const BucketArgs& args, const Layout& layout, int round) {
  const std::int64_t slot =
      std::int64_t{blockIdx.x} * kTileSlots + gpu::warp() * kWarpSlots + round * gpu::kWarp + gpu::lane();
  return slot < layout.slots ? __ldg(args.expert_ids + slot) : -1;
}

/// Adds the warp's copies of one round to `counts` [experts], once an expert and not once a copy, and returns how many
/// lanes before this one have the same expert. Other warps must not touch `counts`.
__device__ inline std::int32_t count_round(std::int32_t* counts, std::int32_t expert) {
  const unsigned same = __match_any_sync(gpu::kAllLanes, expert);
  const std::int32_t before = __popc(same & ((1U << gpu::lane()) - 1U));
  if (expert >= 0 && before == 0) counts[expert] += __popc(same);
  return before;
}

/// Each warp's copies for each expert, counts [warps, experts], for the whole block to see.
__device__ inline void count_warps(const BucketArgs& args, const Layout& layout, std::int32_t* counts) {
  for (int i = static_cast<int>(threadIdx.x); i < gpu::kBlockWarps * args.experts; i += gpu::kBlockThreads)
    counts[i] = 0;
  __syncthreads();
  for (int round = 0; round < kRounds; ++round) {
    count_round(counts + gpu::warp() * args.experts, expert_at(args, layout, round));
    __syncwarp();  // the next round's leader for an expert may be another lane
  }
  __syncthreads();
}

// Reads 4 bytes a slot and writes 4 an expert and tile, the least that counting takes.
__global__ void __launch_bounds__(gpu::kBlockThreads) count_tiles(BucketArgs args, Layout layout) {
  auto* const counts = gpu::dynamic_shared<std::int32_t>();
  count_warps(args, layout, counts);
  for (int expert = static_cast<int>(threadIdx.x); expert < args.experts; expert += gpu::kBlockThreads) {
    std::int32_t sum = 0;
    for (int warp = 0; warp < gpu::kBlockWarps; ++warp) sum += counts[warp * args.experts + expert];
    layout.tile_counts[std::int64_t{blockIdx.x} * args.experts + expert] = sum;
  }
}

// Reads and writes 4 bytes an expert and tile, the least possible, and 4 an expert; neighbouring threads touch
// neighbouring words.
__global__ void __launch_bounds__(gpu::kBlockThreads) scan_tiles(BucketArgs args, Layout layout) {
  const int expert = static_cast<int>(blockIdx.x * gpu::kBlockThreads + threadIdx.x);
  if (expert >= args.experts) return;
  std::int32_t sum = 0;
  for (std::int64_t tile = 0; tile < layout.tiles; ++tile) {
    std::int32_t& count = layout.tile_counts[tile * args.experts + expert];
    const std::int32_t mine = count;
    count = sum;
    sum += mine;
  }
  args.counts[__ldg(args.expert_key + expert)] = sum;
}

__device__ inline std::int32_t warp_inclusive_sum(std::int32_t value) {
  for (unsigned distance = 1; distance < gpu::kWarp; distance *= 2) {
    const std::int32_t lower = __shfl_up_sync(gpu::kAllLanes, value, distance);
    if (gpu::lane() >= static_cast<int>(distance)) value += lower;
  }
  return value;
}

// One block: buckets are few. Reads and writes 4 bytes a bucket, the least possible.
__global__ void __launch_bounds__(kMostScanThreads) scan_buckets(BucketArgs args, Layout layout) {
  __shared__ std::int32_t warp_sums[kMostScanThreads / gpu::kWarp];
  const auto threads = static_cast<std::int32_t>(blockDim.x);
  std::int32_t start = 0;  // of this pass over as many buckets as there are threads
  for (std::int32_t first = 0; first < args.buckets; first += threads) {
    const std::int32_t bucket = first + static_cast<std::int32_t>(threadIdx.x);
    const std::int32_t count = bucket < args.buckets ? args.counts[bucket] : 0;
    const std::int32_t inclusive = warp_inclusive_sum(count);
    if (gpu::lane() == gpu::kWarp - 1) warp_sums[gpu::warp()] = inclusive;
    __syncthreads();
    const bool has_warp = gpu::lane() < threads / gpu::kWarp;
    const std::int32_t sums = warp_inclusive_sum(has_warp ? warp_sums[gpu::lane()] : 0);  // every warp for itself
    const std::int32_t before = __shfl_sync(gpu::kAllLanes, sums, gpu::warp() - (gpu::warp() > 0 ? 1 : 0));
    const std::int32_t warp_start = gpu::warp() > 0 ? before : 0;
    if (bucket < args.buckets) layout.bucket_starts[bucket] = start + warp_start + inclusive - count;
    start += __shfl_sync(gpu::kAllLanes, sums, gpu::kWarp - 1);
    __syncthreads();  // all have read warp_sums
  }
}

// Reads 4 bytes a slot and an expert and tile, and writes 4 a slot, the least possible; a key and a start an expert, 8
// bytes, are read by every tile, all but once from the cache.
__global__ void __launch_bounds__(gpu::kBlockThreads) place(BucketArgs args, Layout layout) {
  auto* const next = gpu::dynamic_shared<std::int32_t>();
  count_warps(args, layout, next);
  for (int expert = static_cast<int>(threadIdx.x); expert < args.experts; expert += gpu::kBlockThreads) {
    std::int32_t row = layout.bucket_starts[__ldg(args.expert_key + expert)] +
                       layout.tile_counts[std::int64_t{blockIdx.x} * args.experts + expert];
    for (int warp = 0; warp < gpu::kBlockWarps; ++warp) {
      std::int32_t& count = next[warp * args.experts + expert];
      const std::int32_t mine = count;
      count = row;
      row += mine;
    }
  }
  __syncthreads();
  std::int32_t* const mine = next + gpu::warp() * args.experts;
  const std::int64_t first = std::int64_t{blockIdx.x} * kTileSlots + gpu::warp() * kWarpSlots + gpu::lane();
  for (int round = 0; round < kRounds; ++round) {
    const std::int32_t expert = expert_at(args, layout, round);
    const std::int32_t base = expert >= 0 ? mine[expert] : 0;
    __syncwarp();  // all have read before a leader adds
    const std::int32_t before = count_round(mine, expert);
    const std::int64_t slot = first + round * gpu::kWarp;
    if (slot < layout.slots) args.position[slot] = expert >= 0 ? base + before : -1;
    __syncwarp();  // all additions are seen by the next round
  }
}

}  // namespace

std::int64_t bucket_scratch_bytes(const BucketArgs& args) {
  const Layout layout = lay_out(args);
  return (layout.tiles * args.experts + args.buckets) * std::int64_t{sizeof(std::int32_t)};
}

void bucket_cuda(const BucketArgs& args, StreamHandle stream) {
  if (args.experts > kMaxExperts)
    gpu::throw_unsupported("bucket: " + std::to_string(args.experts) + " experts; on a GPU at most " +
                           std::to_string(kMaxExperts));
  const Layout layout = lay_out(args);
  const std::int64_t shared_bytes = gpu::kBlockWarps * args.experts * std::int64_t{sizeof(std::int32_t)};
  const int scan_warps = (args.buckets + gpu::kWarp - 1) / gpu::kWarp;
  const int scan_threads = std::clamp(scan_warps * gpu::kWarp, gpu::kWarp, kMostScanThreads);
  const std::int64_t expert_blocks = (args.experts + gpu::kBlockThreads - 1) / gpu::kBlockThreads;
  gpu::check("bucket", cudaMemsetAsync(args.counts, 0, static_cast<std::size_t>(args.buckets) * sizeof(std::int32_t),
                                       static_cast<cudaStream_t>(stream)));  // buckets without an expert
  gpu::launch("bucket", count_tiles, layout.tiles, gpu::kBlockThreads, shared_bytes, stream, args, layout);
  gpu::launch("bucket", scan_tiles, expert_blocks, gpu::kBlockThreads, 0, stream, args, layout);
  gpu::launch("bucket", scan_buckets, 1, scan_threads, 0, stream, args, layout);
  gpu::launch("bucket", place, layout.tiles, gpu::kBlockThreads, shared_bytes, stream, args, layout);
}

}  // namespace ep::kernels
