#include "kernels/launch.cuh"
#include "kernels/reduce.hpp"

namespace ep::kernels {
namespace {

constexpr int kWordsPerLane = 2;

/// The shared expert's values under one word of T, or zeros.
template <class T, class Shared>
__device__ inline void start_sums(const ReduceArgs& args, std::int64_t word, float (&sums)[gpu::Word<T>::kCount]) {
  using Part = gpu::Word<Shared>;
  constexpr int kCount = gpu::Word<T>::kCount;
  if (args.shared == nullptr) {
    for (float& sum : sums) sum = 0.0F;
  } else if constexpr (Part::kCount == kCount) {
    Part::unpack(__ldg(static_cast<const uint4*>(args.shared) + word), sums);
  } else if constexpr (Part::kCount < kCount) {
    float values[Part::kCount];
    for (int part = 0; part < kCount / Part::kCount; ++part) {
      Part::unpack(__ldg(static_cast<const uint4*>(args.shared) + word * (kCount / Part::kCount) + part), values);
      for (int i = 0; i < Part::kCount; ++i) sums[part * Part::kCount + i] = values[i];
    }
  } else {  // four bf16 values: half a word
    const uint2 half = __ldg(static_cast<const uint2*>(args.shared) + word);
    float values[Part::kCount];
    Part::unpack(make_uint4(half.x, half.y, 0, 0), values);
    for (int i = 0; i < kCount; ++i) sums[i] = values[i];
  }
}

// Moves copies * row in and tokens * row out (and tokens * row of the shared expert in), the least possible; indices
// and weights, 8 bytes a copy, are read once a slice, from the cache.
template <class T, class Shared>
__global__ void __launch_bounds__(gpu::kBlockThreads) reduce_rows(ReduceArgs args, gpu::RowSlices rows) {
  using Word = gpu::Word<T>;
  const gpu::Slice slice = gpu::slice_of_warp<kWordsPerLane>(rows);
  if (!slice.exists) return;
  float sums[kWordsPerLane][Word::kCount] = {};
  for (int i = 0; i < kWordsPerLane; ++i) {
    const std::uint32_t word = gpu::word_of(slice, i);
    if (word < rows.words) start_sums<T, Shared>(args, slice.row * rows.words + word, sums[i]);
  }
  for (std::int64_t copy = slice.row * args.topk; copy < (slice.row + 1) * args.topk; ++copy) {
    const std::int32_t position = __ldg(args.position + copy);
    if (position < 0) continue;
    const float weight = args.weights == nullptr ? 1.0F : __ldg(args.weights + copy);
    const auto* const in = static_cast<const uint4*>(args.rows) + std::int64_t{position} * rows.words;
    for (int i = 0; i < kWordsPerLane; ++i) {
      const std::uint32_t word = gpu::word_of(slice, i);
      if (word >= rows.words) continue;
      float values[Word::kCount];
      Word::unpack(__ldg(in + word), values);
      for (int j = 0; j < Word::kCount; ++j) sums[i][j] = fmaf(weight, values[j], sums[i][j]);
    }
  }
  auto* const out = static_cast<uint4*>(args.out) + slice.row * rows.words;
  for (int i = 0; i < kWordsPerLane; ++i) {
    const std::uint32_t word = gpu::word_of(slice, i);
    if (word < rows.words) out[word] = Word::pack(sums[i]);
  }
}

}  // namespace

void reduce_cuda(const ReduceArgs& args, StreamHandle stream) {
  using core::BFloat16;
  using core::DType;
  const gpu::RowSlices rows("reduce", args.tokens, args.hidden * core::size_of(args.dtype), kWordsPerLane);
  const auto run = [&](auto kernel) {
    gpu::launch("reduce", kernel, rows.blocks(), gpu::kBlockThreads, 0, stream, args, rows);
  };
  if (args.dtype == DType::e4m3 || args.shared_dtype == DType::e4m3)
    gpu::throw_unsupported("reduce: fp8 results are not supported");
  const bool wide_shared = args.shared_dtype == DType::f32;
  if (args.dtype == DType::f32) return run(wide_shared ? reduce_rows<float, float> : reduce_rows<float, BFloat16>);
  return run(wide_shared ? reduce_rows<BFloat16, float> : reduce_rows<BFloat16, BFloat16>);
}

}  // namespace ep::kernels
