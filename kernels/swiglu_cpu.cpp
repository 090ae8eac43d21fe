#include <algorithm>
#include <array>

#include "core/error.hpp"
#include "kernels/rows_cpu.hpp"
#include "kernels/stream_store_cpu.hpp"
#include "kernels/swiglu.hpp"

namespace ep::kernels {
namespace {

template <class T>
void swiglu_rows(const SwigluArgs& args) {
  const std::int64_t ffn = args.ffn;
  const bool streaming = args.rows * ffn * std::int64_t{sizeof(T)} >= streaming_threshold_bytes();
  std::array<T, kStreamBlock> block;
  for (std::int64_t row = 0; row < args.rows; ++row) {
    const T* gate = static_cast<const T*>(args.gate_up) + row * 2 * ffn;
    T* out = static_cast<T*>(args.out) + row * ffn;
    if (!streaming) {
      rows::swiglu(gate, gate + ffn, out, ffn);
      continue;
    }
    for (std::int64_t first = 0; first < ffn; first += kStreamBlock) {
      const std::int64_t size = std::min(kStreamBlock, ffn - first);
      rows::swiglu(gate + first, gate + ffn + first, block.data(), size);
      stream_copy(out + first, block.data(), size * std::int64_t{sizeof(T)});
    }
  }
  if (streaming) stream_fence();
}

}  // namespace

void swiglu_cpu(const SwigluArgs& args) {
  switch (args.dtype) {
    case core::DType::f32:
      return swiglu_rows<float>(args);
    case core::DType::bf16:
      return swiglu_rows<core::BFloat16>(args);
    case core::DType::e4m3:
      break;
  }
  throw core::Error(core::ExitCode::unsupported, "swiglu: fp8 is a payload type, not one to compute in");
}

}  // namespace ep::kernels
