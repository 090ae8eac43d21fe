#include "kernels/launch.cuh"
#include "kernels/swiglu.hpp"

namespace ep::kernels {
namespace {

constexpr int kWordsPerLane = 2;

__device__ inline float silu(float x) {
  return x / (1.0F + expf(-x));  // exp overflows to infinity and the quotient to 0, as it should
}

// Moves rows * 3 * ffn elements, two in for one out, the least possible.
template <class T>
__global__ void __launch_bounds__(gpu::kBlockThreads) swiglu_rows(SwigluArgs args, gpu::RowSlices rows) {
  using Word = gpu::Word<T>;
  const gpu::Slice slice = gpu::slice_of_warp<kWordsPerLane>(rows);
  if (!slice.exists) return;
  const auto* const gate = static_cast<const uint4*>(args.gate_up) + slice.row * 2 * rows.words;
  auto* const out = static_cast<uint4*>(args.out) + slice.row * rows.words;
  for (int i = 0; i < kWordsPerLane; ++i) {
    const std::uint32_t word = gpu::word_of(slice, i);
    if (word >= rows.words) return;
    float gates[Word::kCount];
    float ups[Word::kCount];
    Word::unpack(__ldg(gate + word), gates);
    Word::unpack(__ldg(gate + rows.words + word), ups);
    for (int j = 0; j < Word::kCount; ++j) gates[j] = silu(gates[j]) * ups[j];
    out[word] = Word::pack(gates);
  }
}

}  // namespace

void swiglu_cuda(const SwigluArgs& args, StreamHandle stream) {
  const gpu::RowSlices rows("swiglu", args.rows, args.ffn * core::size_of(args.dtype), kWordsPerLane);
  const auto run = [&](auto kernel) {
    gpu::launch("swiglu", kernel, rows.blocks(), gpu::kBlockThreads, 0, stream, args, rows);
  };
  switch (args.dtype) {
    case core::DType::f32:
      return run(swiglu_rows<float>);
    case core::DType::bf16:
      return run(swiglu_rows<core::BFloat16>);
    case core::DType::e4m3:
      break;
  }
  gpu::throw_unsupported("swiglu: fp8 is a payload type, not one to compute in");
}

}  // namespace ep::kernels
