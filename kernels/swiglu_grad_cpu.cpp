#include <algorithm>
#include <array>

#include "core/error.hpp"
#include "kernels/rows_cpu.hpp"
#include "kernels/stream_store_cpu.hpp"
#include "kernels/swiglu_grad.hpp"

namespace ep::kernels {
namespace {

template <class T>
void swiglu_grad_rows(const SwigluGradArgs& args) {
  const std::int64_t ffn = args.ffn;
  const bool streaming = args.rows * 2 * ffn * std::int64_t{sizeof(T)} >= streaming_threshold_bytes();
  std::array<T, kStreamBlock> gate_block;
  std::array<T, kStreamBlock> up_block;
  for (std::int64_t row = 0; row < args.rows; ++row) {
    const T* const gate = static_cast<const T*>(args.gate_up) + row * 2 * ffn;
    const T* const grad = static_cast<const T*>(args.out_grad) + row * ffn;
    T* const out = static_cast<T*>(args.gate_up_grad) + row * 2 * ffn;
    if (!streaming) {
      rows::swiglu_grad(gate, gate + ffn, grad, out, out + ffn, ffn);
      continue;
    }
    for (std::int64_t first = 0; first < ffn; first += kStreamBlock) {
      const std::int64_t size = std::min(kStreamBlock, ffn - first);
      rows::swiglu_grad(gate + first, gate + ffn + first, grad + first, gate_block.data(), up_block.data(), size);
      stream_copy(out + first, gate_block.data(), size * std::int64_t{sizeof(T)});
      stream_copy(out + ffn + first, up_block.data(), size * std::int64_t{sizeof(T)});
    }
  }
  if (streaming) stream_fence();
}

}  // namespace

void swiglu_grad_cpu(const SwigluGradArgs& args) {
  switch (args.dtype) {
    case core::DType::f32:
      return swiglu_grad_rows<float>(args);
    case core::DType::bf16:
      return swiglu_grad_rows<core::BFloat16>(args);
    case core::DType::e4m3:
      break;
  }
  throw core::Error(core::ExitCode::unsupported, "swiglu gradient: fp8 is a payload type, not one to compute in");
}

}  // namespace ep::kernels
