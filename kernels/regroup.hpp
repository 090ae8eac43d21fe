#pragma once
#include <cstdint>

#include "core/dtype.hpp"
#include "kernels/stream.hpp"
#include "kernels/token_layout.hpp"

namespace ep::kernels {

/// `rows` consecutive rows that move together: one (source rank, local expert) pair.
struct Segment {
  std::int64_t from = 0;  // first row, input
  std::int64_t to = 0;    // first row, output
  std::int64_t rows = 0;
};

/// Moves rows between arrival order (source rank, local expert) and expert order (local expert, source rank),
/// converting the element type where the two differ; fp8 rows (kernels/e4m3.hpp) are dequantised. Reads and writes
/// every row once, the least possible.
struct RegroupArgs {
  const void* in;           // [rows, hidden] of in_dtype, or fp8 rows
  void* out;                // [rows, hidden] of out_dtype
  const Segment* segments;  // [segment_count] device memory, ascending in `to`, of all output rows, none empty
  std::int64_t segment_count;
  std::int64_t rows;  // in all
  std::int32_t hidden;
  core::DType in_dtype;   // f32, bf16 or e4m3
  core::DType out_dtype;  // f32 or bf16
  OwnRows own;            // output rows that go to own_out instead (own.begin at own_out); empty for arrival -> expert
  void* own_out;
};

void regroup_cpu(const RegroupArgs& args);
void regroup_cuda(const RegroupArgs& args, StreamHandle stream);

}  // namespace ep::kernels
