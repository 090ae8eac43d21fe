#include "kernels/launch.cuh"
#include "kernels/pack_weighted.hpp"

namespace ep::kernels {
namespace {

constexpr int kWordsPerLane = 2;

// Moves tokens * row in and copies * row out, the least possible: a row is read once and kept in registers for all of
// its copies. The 8 bytes a copy of positions and weights are read once a slice, from the cache.
template <class T>
__global__ void __launch_bounds__(gpu::kBlockThreads) pack_weighted_rows(PackWeightedArgs args, gpu::RowSlices rows) {
  using Word = gpu::Word<T>;
  const gpu::Slice slice = gpu::slice_of_warp<kWordsPerLane>(rows);
  if (!slice.exists) return;
  const auto* const in = static_cast<const uint4*>(args.tokens) + slice.row * rows.words;
  float values[kWordsPerLane][Word::kCount] = {};
  for (int i = 0; i < kWordsPerLane; ++i) {
    const std::uint32_t word = gpu::word_of(slice, i);
    if (word < rows.words) Word::unpack(__ldg(in + word), values[i]);
  }
  for (std::int64_t copy = slice.row * args.topk; copy < (slice.row + 1) * args.topk; ++copy) {
    const std::int64_t position = __ldg(args.position + copy);
    if (position < 0) continue;
    const float weight = __ldg(args.weights + copy);
    auto* const out = args.own.contains(position)
                          ? static_cast<uint4*>(args.own_out) + (position - args.own.begin) * rows.words
                          : static_cast<uint4*>(args.send) + position * rows.words;
    for (int i = 0; i < kWordsPerLane; ++i) {
      const std::uint32_t word = gpu::word_of(slice, i);
      if (word >= rows.words) continue;
      float weighted[Word::kCount];
      for (int j = 0; j < Word::kCount; ++j) weighted[j] = weight * values[i][j];
      out[word] = Word::pack(weighted);
    }
  }
}

}  // namespace

void pack_weighted_cuda(const PackWeightedArgs& args, StreamHandle stream) {
  const gpu::RowSlices rows("weighted pack", args.token_count, args.hidden * core::size_of(args.dtype), kWordsPerLane);
  const auto run = [&](auto kernel) {
    gpu::launch("weighted pack", kernel, rows.blocks(), gpu::kBlockThreads, 0, stream, args, rows);
  };
  switch (args.dtype) {
    case core::DType::f32:
      return run(pack_weighted_rows<float>);
    case core::DType::bf16:
      return run(pack_weighted_rows<core::BFloat16>);
    case core::DType::e4m3:
      break;
  }
  gpu::throw_unsupported("weighted pack: fp8 rows are not supported");
}

}  // namespace ep::kernels
