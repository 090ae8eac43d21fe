#pragma once
#include <cstdint>

#include "core/dtype.hpp"
#include "kernels/stream.hpp"
#include "kernels/token_layout.hpp"

namespace ep::kernels {

/// As pack, each copy times its weight: what a token's output gradient becomes for each of its experts. The product is
/// rounded once to dtype. Moves tokens + copies rows, the least possible, and 8 bytes a copy of indices and weights.
struct PackWeightedArgs {
  const void* tokens;            // [tokens, hidden] of dtype
  const std::int32_t* position;  // [tokens, topk] row in bucket order, -1 masked
  const float* weights;          // [tokens, topk]
  std::int64_t token_count;
  std::int32_t topk;
  std::int32_t hidden;
  core::DType dtype;  // f32 or bf16
  void* send;         // [copies, hidden], bucket order; the own rows' places stay unused
  OwnRows own;        // bucket-order rows that go straight to …
  void* own_out;      // … here: row own.begin is written at own_out
};

void pack_weighted_cpu(const PackWeightedArgs& args);
void pack_weighted_cuda(const PackWeightedArgs& args, StreamHandle stream);

}  // namespace ep::kernels
