#pragma once
#include <cstdint>

#include "core/dtype.hpp"
#include "kernels/stream.hpp"

namespace ep::kernels {

/// out[t] = shared[t] + sum over k of weight[t, k] * rows[position[t, k]], accumulated in fp32 in the order of k.
/// Without weights they are 1: gradients come back weighted already.
/// Reads every copy once and writes every token once, the least possible.
struct ReduceArgs {
  const void* rows;              // [copies, hidden] of dtype, bucket order
  const std::int32_t* position;  // [tokens, topk], -1 masked
  const float* weights;          // [tokens, topk], or null
  const void* shared;            // [tokens, hidden] of shared_dtype, or null
  void* out;                     // [tokens, hidden] of dtype
  std::int64_t tokens;
  std::int32_t topk;
  std::int32_t hidden;
  core::DType dtype;         // f32 or bf16
  core::DType shared_dtype;  // f32 or bf16
};

void reduce_cpu(const ReduceArgs& args);
void reduce_cuda(const ReduceArgs& args, StreamHandle stream);

}  // namespace ep::kernels
