#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/stream.hpp"
#include "kernels/token_layout.hpp"

namespace ep::kernels {

/// Copies each token's row to the places of its copies, reading it once. Device memory throughout.
/// Moves tokens * row_bytes in and copies * row_bytes out, which is the least possible, and 4 bytes a copy of indices.
struct PackArgs {
  const std::byte* tokens;       // [tokens, row_bytes]
  const std::int32_t* position;  // [tokens, topk] row in bucket order, -1 masked
  std::int64_t token_count;
  std::int32_t topk;
  std::int64_t row_bytes;  // a multiple of 16 for cuda
  std::byte* send;         // [copies, row_bytes], bucket order; the own rows' places stay unused
  OwnRows own;             // bucket-order rows that go straight to …
  std::byte* own_out;      // … here: row own.begin is written at own_out
};

void pack_cpu(const PackArgs& args);
void pack_cuda(const PackArgs& args, StreamHandle stream);

}  // namespace ep::kernels
