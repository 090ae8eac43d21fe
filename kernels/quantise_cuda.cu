#include "kernels/launch.cuh"
#include "kernels/quantise.hpp"

namespace ep::kernels {
namespace {

constexpr int kWordsPerLane = 1;                      // of the row; 2 loads of bf16, 4 of fp32
constexpr int kElements = gpu::kWordBytes;            // in such a word
constexpr int kBlockLanes = kScaleBlock / kElements;  // that share a scale

/// The 16 values of word `word` of a row.
template <class T>
__device__ inline void load_values(const T* row, std::uint32_t word, float (&values)[kElements]) {
  constexpr int kPart = gpu::Word<T>::kCount;
  constexpr int kParts = kElements / kPart;
  for (int part = 0; part < kParts; ++part) {
    float loaded[gpu::Word<T>::kCount];
    gpu::Word<T>::unpack(__ldg(reinterpret_cast<const uint4*>(row) + word * kParts + part), loaded);
    for (int i = 0; i < kPart; ++i) values[part * kPart + i] = loaded[i];
  }
}

/// Of the values of all lanes that share a scale. Every lane of the warp must call it.
__device__ inline float block_amax(const float (&values)[kElements]) {
  float amax = 0.0F;
  for (const float value : values) amax = fmaxf(amax, fabsf(value));  // passes over NaN
  for (int step = kBlockLanes / 2; step > 0; step /= 2) amax = fmaxf(amax, __shfl_xor_sync(gpu::kAllLanes, amax, step));
  return amax;
}

__device__ inline uint4 quantised(const float (&values)[kElements], float inverse) {
  unsigned words[4] = {};
  for (int i = 0; i < kElements; ++i) words[i / 4] |= unsigned{to_e4m3(values[i] * inverse).bits} << (i % 4 * 8);
  return make_uint4(words[0], words[1], words[2], words[3]);
}

// Reads token_count * hidden elements and writes token_count rows, the least possible. A lane loads 16 neighbouring
// elements, so that it stores 16 bytes; eight lanes find the scale of their block together.
template <class T>
__global__ void __launch_bounds__(gpu::kBlockThreads) quantise_rows(QuantiseArgs args, gpu::RowSlices rows) {
  const gpu::Slice slice = gpu::slice_of_warp<kWordsPerLane>(rows);
  if (!slice.exists) return;
  const std::uint32_t word = slice.first;
  float values[kElements] = {};
  if (word < rows.words) load_values(static_cast<const T*>(args.tokens) + slice.row * args.hidden, word, values);
  const float scale = e4m3_scale(block_amax(values));
  if (word >= rows.words) return;
  std::byte* const out = args.rows + slice.row * e4m3_row_bytes(args.hidden);
  reinterpret_cast<uint4*>(out)[word] = quantised(values, 1.0F / scale);
  auto* const scales = reinterpret_cast<float*>(out + args.hidden);
  if (word % kBlockLanes == 0) scales[word / kBlockLanes] = scale;
  if (word + 1 < rows.words) return;
  const auto row_floats = (e4m3_row_bytes(args.hidden) - args.hidden) / std::int64_t{sizeof(float)};
  for (std::int64_t i = scale_count(args.hidden); i < row_floats; ++i) scales[i] = 0.0F;  // the padding
}

}  // namespace

void quantise_cuda(const QuantiseArgs& args, StreamHandle stream) {
  if (args.hidden % kElements != 0)
    gpu::throw_unsupported("quantise: a hidden size of " + std::to_string(args.hidden) +
                           "; on a GPU fp8 wants a multiple of 16");
  const gpu::RowSlices rows("quantise", args.token_count, args.hidden, kWordsPerLane);
  const auto run = [&](auto kernel) {
    gpu::launch("quantise", kernel, rows.blocks(), gpu::kBlockThreads, 0, stream, args, rows);
  };
  switch (args.dtype) {
    case core::DType::f32:
      return run(quantise_rows<float>);
    case core::DType::bf16:
      return run(quantise_rows<core::BFloat16>);
    case core::DType::e4m3:
      break;
  }
  gpu::throw_unsupported("quantise: the tokens are fp8 already");
}

}  // namespace ep::kernels
