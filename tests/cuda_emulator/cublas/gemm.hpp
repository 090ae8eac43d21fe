#pragma once
#include <cstddef>
#include <cstdint>
#include <library_types.h>

namespace ep::emulator {

/// One matrix operand, column-major: op(X) is `rows` x `columns` after the transposition.
struct Matrix {
  void* data = nullptr;
  cudaDataType_t type = CUDA_R_32F;
  int leading = 0;
  bool transposed = false;
};

/// C = alpha * op(A) * op(B) + beta * C with fp32 accumulation; op(A) is [m, k], op(B) is [k, n].
struct Gemm {
  int m = 0;
  int n = 0;
  int k = 0;
  float alpha = 1;
  float beta = 0;
  Matrix a;
  Matrix b;
  Matrix c;

  bool shapes_are_valid() const;
  /// Computes, after checking that the operands lie in device memory and were written. @pre on the engine's thread
  void run() const;
};

bool type_is_supported(cudaDataType_t type);
std::size_t element_bytes(cudaDataType_t type);

/// How often cuBLAS was asked for grouped GEMMs, refusals included.
std::uint64_t grouped_gemm_calls();

}  // namespace ep::emulator
