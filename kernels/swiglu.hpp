#pragma once
#include <cstdint>

#include "core/dtype.hpp"
#include "kernels/stream.hpp"

namespace ep::kernels {

/// out = silu(gate) * up with silu(x) = x / (1 + exp(-x)). Reads 2 and writes 1 element for each of rows * ffn, the
/// least possible.
struct SwigluArgs {
  const void* gate_up;  // [rows, 2 ffn]: gate, then up, of dtype
  void* out;            // [rows, ffn] of dtype
  std::int64_t rows;
  std::int32_t ffn;
  core::DType dtype;  // f32 or bf16
};

void swiglu_cpu(const SwigluArgs& args);
void swiglu_cuda(const SwigluArgs& args, StreamHandle stream);

}  // namespace ep::kernels
