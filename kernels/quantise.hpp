#pragma once
#include <cstddef>
#include <cstdint>

#include "core/dtype.hpp"
#include "kernels/e4m3.hpp"
#include "kernels/stream.hpp"

namespace ep::kernels {

/// Writes each token as an fp8 row, once, however many copies of it travel. Device memory throughout.
/// Reads tokens * hidden elements and writes tokens * e4m3_row_bytes(hidden), which is the least possible.
/// A NaN stays one; a block that holds an infinity comes back as NaN throughout.
struct QuantiseArgs {
  const void* tokens;  // [tokens, hidden] of dtype
  std::byte* rows;     // [tokens, e4m3_row_bytes(hidden)]
  std::int64_t token_count;
  std::int32_t hidden;  // a multiple of 16 for cuda
  core::DType dtype;    // f32 or bf16
};

void quantise_cpu(const QuantiseArgs& args);
void quantise_cuda(const QuantiseArgs& args, StreamHandle stream);

}  // namespace ep::kernels
