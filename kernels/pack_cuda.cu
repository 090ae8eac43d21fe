#include "kernels/launch.cuh"
#include "kernels/pack.hpp"

namespace ep::kernels {
namespace {

constexpr int kWordsPerLane = 4;  // a slice of 2 KiB
constexpr int kBlocksPerSm = 6;   // leaves 40 registers a thread: for more blocks sm_100 would spill

// Moves token_count * row_bytes in and copies * row_bytes out, the least possible: a row is read once and kept in
// registers for all of its copies. The 4 bytes a copy of `position` are read once a slice, from the cache.
__global__ void __launch_bounds__(gpu::kBlockThreads, kBlocksPerSm) pack_rows(PackArgs args, gpu::RowSlices rows) {
  const gpu::Slice slice = gpu::slice_of_warp<kWordsPerLane>(rows);
  if (!slice.exists) return;
  const auto* const in = reinterpret_cast<const uint4*>(args.tokens + slice.row * args.row_bytes);
  uint4 words[kWordsPerLane] = {};
  for (int i = 0; i < kWordsPerLane; ++i) {
    const std::uint32_t word = gpu::word_of(slice, i);
    if (word < rows.words) words[i] = __ldg(in + word);
  }
  for (std::int32_t k = 0; k < args.topk; ++k) {
    const std::int32_t position = __ldg(args.position + slice.row * args.topk + k);
    if (position < 0) continue;
    std::byte* const place = args.own.contains(position) ? args.own_out + (position - args.own.begin) * args.row_bytes
                                                         : args.send + position * args.row_bytes;
    auto* const out = reinterpret_cast<uint4*>(place);
    for (int i = 0; i < kWordsPerLane; ++i) {
      const std::uint32_t word = gpu::word_of(slice, i);
      if (word < rows.words) out[word] = words[i];
    }
  }
}

}  // namespace

void pack_cuda(const PackArgs& args, StreamHandle stream) {
  const gpu::RowSlices rows("pack", args.token_count, args.row_bytes, kWordsPerLane);
  gpu::launch("pack", pack_rows, rows.blocks(), gpu::kBlockThreads, 0, stream, args, rows);
}

}  // namespace ep::kernels
