#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "core/dtype.hpp"

namespace ep::kernels {

/// One GEMM for every group of consecutive rows: out = in * weights^T, fp32 accumulation, row-major. With k_by_n the
/// weights are [groups, k, n] and out = in * weights: the gradient of an input, where n and k have changed places.
/// Groups without rows are left out. Matrices in device memory, `group_rows` in host memory (copied by the callee).
struct GroupedGemmArgs {
  std::span<const std::int64_t> group_rows;  // [groups] rows of each group, in order
  const void* in;                            // [sum of rows, k] of dtype
  const void* weights;                       // [groups, n, k] of dtype
  void* out;                                 // [sum of rows, n] of dtype
  std::int64_t n;
  std::int64_t k;
  core::DType dtype;  // f32 (cpu), f32 or bf16 (cuda)
  bool k_by_n = false;
};

/// Gradient of every group's weights: out = out_grad^T * in over the group's rows, fp32 accumulation, row-major. A
/// group without rows gets zeros, unless its sum goes on.
struct WeightGradArgs {
  std::span<const std::int64_t> group_rows;  // [groups] rows of each group, in order
  const void* out_grad;                      // [sum of rows, n] of dtype
  const void* in;                            // [sum of rows, k] of dtype
  float* out;                                // [groups, n, k]
  std::int64_t n;
  std::int64_t k;
  core::DType dtype;  // f32 (cpu), f32 or bf16 (cuda)
  bool accumulate;    // adds to what is there
};

/// OpenBLAS, one call a group, with the threads that set_gemm_threads last gave it.
void grouped_gemm_cpu(const GroupedGemmArgs& args);
void weight_grad_cpu(const WeightGradArgs& args);
void set_gemm_threads(int threads);
/// Its version, and the processor its kernels are for: "OpenBLAS 0.3.21 ... SkylakeX ...".
std::string gemm_library();

}  // namespace ep::kernels
