#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "core/dtype.hpp"

namespace ep::kernels {

/// One GEMM for every group of consecutive rows: out = in * weights^T, fp32 accumulation, row-major.
/// Groups without rows are left out. Matrices in device memory, `group_rows` in host memory (copied by the callee).
struct GroupedGemmArgs {
  std::span<const std::int64_t> group_rows;  // [groups] rows of each group, in order
  const void* in;                            // [sum of rows, k] of dtype
  const void* weights;                       // [groups, n, k] of dtype
  void* out;                                 // [sum of rows, n] of dtype
  std::int64_t n;
  std::int64_t k;
  core::DType dtype;  // f32 (cpu), f32 or bf16 (cuda)
};

/// OpenBLAS, one call a group, with the threads that set_gemm_threads last gave it.
void grouped_gemm_cpu(const GroupedGemmArgs& args);
void set_gemm_threads(int threads);
/// Its version, and the processor its kernels are for: "OpenBLAS 0.3.21 ... SkylakeX ...".
std::string gemm_library();

}  // namespace ep::kernels
