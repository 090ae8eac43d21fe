#pragma once
#include <cstdint>

#include "core/dtype.hpp"
#include "kernels/stream.hpp"

namespace ep::kernels {

/// Gradient of a token's gate weights: out[t, k] = sum over h of grad[t, h] * rows[position[t, k], h], accumulated in
/// fp32; 0 where masked. Reads every copy and every token once, the least possible.
struct GateGradArgs {
  const void* grad;              // [tokens, hidden] of grad_dtype: gradient of the layer's output
  const void* rows;              // [copies, hidden] of dtype, bucket order: what the experts returned
  const std::int32_t* position;  // [tokens, topk], -1 masked
  float* out;                    // [tokens, topk]
  std::int64_t tokens;
  std::int32_t topk;
  std::int32_t hidden;
  core::DType grad_dtype;  // f32 or bf16
  core::DType dtype;       // f32 or bf16
};

void gate_grad_cpu(const GateGradArgs& args);
void gate_grad_cuda(const GateGradArgs& args, StreamHandle stream);

}  // namespace ep::kernels
