#pragma once
#include <cstdint>

#include "core/dtype.hpp"
#include "kernels/stream.hpp"

namespace ep::kernels {

/// Gradient of out = silu(gate) * up, with s = 1 / (1 + exp(-gate)):
///   up_grad = out_grad * gate * s,  gate_grad = out_grad * up * s * (1 + gate * (1 - s)).
/// Reads 3 and writes 2 elements for each of rows * ffn, the least possible.
struct SwigluGradArgs {
  const void* gate_up;   // [rows, 2 ffn]: gate, then up, of dtype, as the forward pass left them
  const void* out_grad;  // [rows, ffn] of dtype
  void* gate_up_grad;    // [rows, 2 ffn] of dtype, another buffer than gate_up
  std::int64_t rows;
  std::int32_t ffn;
  core::DType dtype;  // f32 or bf16
};

void swiglu_grad_cpu(const SwigluGradArgs& args);
void swiglu_grad_cuda(const SwigluGradArgs& args, StreamHandle stream);

}  // namespace ep::kernels
