#include "kernels/launch.cuh"
#include "kernels/swiglu_grad.hpp"

namespace ep::kernels {
namespace {

constexpr int kWordsPerLane = 1;  // three words in and two out are in flight for it

// Moves rows * 5 * ffn elements, three in for two out, the least possible.
template <class T>
__global__ void __launch_bounds__(gpu::kBlockThreads) swiglu_grad_rows(SwigluGradArgs args, gpu::RowSlices rows) {
  using Word = gpu::Word<T>;
  const gpu::Slice slice = gpu::slice_of_warp<kWordsPerLane>(rows);
  if (!slice.exists || slice.first >= rows.words) return;
  const auto* const gate_up = static_cast<const uint4*>(args.gate_up) + slice.row * 2 * rows.words + slice.first;
  auto* const out = static_cast<uint4*>(args.gate_up_grad) + slice.row * 2 * rows.words + slice.first;
  float gates[Word::kCount];
  float ups[Word::kCount];
  float grads[Word::kCount];
  Word::unpack(__ldg(gate_up), gates);
  Word::unpack(__ldg(gate_up + rows.words), ups);
  Word::unpack(__ldg(static_cast<const uint4*>(args.out_grad) + slice.row * rows.words + slice.first), grads);
  for (int j = 0; j < Word::kCount; ++j) {
    const float gate = gates[j];
    const float sigmoid = 1.0F / (1.0F + expf(-gate));  // exp overflows to infinity and the quotient to 0
    gates[j] = grads[j] * ups[j] * sigmoid * (1.0F + gate * (1.0F - sigmoid));
    ups[j] = grads[j] * gate * sigmoid;
  }
  out[0] = Word::pack(gates);
  out[rows.words] = Word::pack(ups);
}

}  // namespace

void swiglu_grad_cuda(const SwigluGradArgs& args, StreamHandle stream) {
  const gpu::RowSlices rows("swiglu gradient", args.rows, args.ffn * core::size_of(args.dtype), kWordsPerLane);
  const auto run = [&](auto kernel) {
    gpu::launch("swiglu gradient", kernel, rows.blocks(), gpu::kBlockThreads, 0, stream, args, rows);
  };
  switch (args.dtype) {
    case core::DType::f32:
      return run(swiglu_grad_rows<float>);
    case core::DType::bf16:
      return run(swiglu_grad_rows<core::BFloat16>);
    case core::DType::e4m3:
      break;
  }
  gpu::throw_unsupported("swiglu gradient: fp8 is a payload type, not one to compute in");
}

}  // namespace ep::kernels
