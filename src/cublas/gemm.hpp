#pragma once
#include <cstddef>
#include <span>

#include <cublas_v2.h>

#include "core/dtype.hpp"
#include "core/error.hpp"
#include "core/source_location.hpp"
#include "core/unique_handle.hpp"

namespace ep::cublas {

/// Throws core::Error (cuda) naming the cuBLAS status and the place unless it is CUBLAS_STATUS_SUCCESS.
void check_cublas(cublasStatus_t status, core::SourceLocation where = core::SourceLocation::current());

struct HandlePolicy {
  using Handle = cublasHandle_t;
  static Handle null() { return nullptr; }
  static void close(Handle handle) noexcept { cublasDestroy(handle); }
};

/// What the GEMMs of one call have in common.
struct Shape {
  int n;
  int k;
  core::DType dtype;    // f32 or bf16
  bool k_by_n = false;  // weights are [k, n] and not transposed
};

/// One GEMM of row-major matrices, out [rows, n] = in [rows, k] * weights [n, k]^T, in device memory.
struct Gemm {
  const void* in;
  const void* weights;
  void* out;
  int rows;
};

/// out [n, k] of f32 = out_grad [rows, n]^T * in [rows, k], row-major, in device memory.
struct WeightGrad {
  const void* out_grad;
  const void* in;
  void* out;
  int rows;
  bool accumulate;  // adds to what is there
};

/// Many GEMMs that differ in rows only. The arrays of pointers are in device memory and are read when the GEMMs run.
struct GroupedGemm {
  std::span<const int> rows;  // [groups], host memory, none zero
  const void* const* in;
  const void* const* weights;
  void* const* out;
};

/// A cuBLAS handle bound to one stream, with a workspace of its own: no call of it allocates.
class Context {
 public:
  /// `workspace` is device memory, 256-byte aligned, that nothing else uses. Throws Error (cuda).
  /// @param sms that GEMMs may occupy, 0: all; leaves the others to communication.
  Context(cudaStream_t stream, void* workspace, std::size_t workspace_bytes, int sms);

  /// cublasGemmEx, fp32 accumulation. Throws Error (cuda).
  void multiply(const Gemm& gemm, const Shape& shape);
  void weight_grad(const WeightGrad& gemm, const Shape& shape);
  /// cublasGemmGroupedBatchedEx in one launch; false where this cuBLAS or GPU has none for these matrices.
  [[nodiscard]] bool multiply(const GroupedGemm& gemm, const Shape& shape);

 private:
  core::UniqueHandle<HandlePolicy> handle_;
};

}  // namespace ep::cublas
