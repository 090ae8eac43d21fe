#include "cuda_emulator/cublas/gemm.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "cuda_emulator/checker/checker.hpp"
#include "cuda_emulator/runtime/memory.hpp"

namespace ep::emulator {
namespace {

const char* element(const Matrix& matrix, std::size_t row, std::size_t column) {
  const std::size_t index = column * static_cast<std::size_t>(matrix.leading) + row;
  return static_cast<const char*>(matrix.data) + index * element_bytes(matrix.type);
}

float load(const char* address, cudaDataType_t type) {
  const auto as = [address]<class T>(T value) {
    std::memcpy(&value, address, sizeof(T));
    return value;
  };
  if (type == CUDA_R_32F) return as(float{});
  return type == CUDA_R_16BF ? __bfloat162float(as(__nv_bfloat16{})) : __half2float(as(__half{}));
}

void store(char* address, cudaDataType_t type, float value) {
  const auto put = [address]<class T>(T stored) { std::memcpy(address, &stored, sizeof(T)); };
  if (type == CUDA_R_32F) return put(value);
  if (type == CUDA_R_16BF) return put(__float2bfloat16(value));
  put(__float2half(value));
}

/// The operand as rows x columns floats, by rows.
std::vector<float> unpack(const Matrix& matrix, int rows, int columns) {
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns));
  for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) {
    for (std::size_t column = 0; column < static_cast<std::size_t>(columns); ++column) {
      const char* at = matrix.transposed ? element(matrix, column, row) : element(matrix, row, column);
      values.push_back(load(at, matrix.type));
    }
  }
  return values;
}

/// Checks every stored column of an operand.
void check(const Matrix& matrix, int rows, int columns, Access access, const char* what) {
  const std::size_t bytes = static_cast<std::size_t>(rows) * element_bytes(matrix.type);
  for (std::size_t column = 0; column < static_cast<std::size_t>(columns); ++column) {
    const char* first = element(matrix, 0, column);
    Memory::get().require_range(first, bytes, what);
    if (access == Access::read) Checker::get().require_initialised(first, bytes, what);
    Checker::get().on_range(first, bytes, access);
  }
}

}  // namespace

bool type_is_supported(cudaDataType_t type) {
  return type == CUDA_R_32F || type == CUDA_R_16BF || type == CUDA_R_16F;
}

std::size_t element_bytes(cudaDataType_t type) {
  return type == CUDA_R_32F ? 4 : 2;
}

bool Gemm::shapes_are_valid() const {
  return m >= 0 && n >= 0 && k >= 0 && a.leading >= std::max(1, a.transposed ? k : m) &&
         b.leading >= std::max(1, b.transposed ? n : k) && c.leading >= std::max(1, m);
}

void Gemm::run() const {
  if (m == 0 || n == 0) return;
  check(a, a.transposed ? k : m, a.transposed ? m : k, Access::read, "cuBLAS A");
  check(b, b.transposed ? n : k, b.transposed ? k : n, Access::read, "cuBLAS B");
  if (beta != 0) check(c, m, n, Access::read, "cuBLAS C");
  check(c, m, n, Access::write, "cuBLAS C");
  const std::vector<float> left = unpack(a, m, k);
  const std::vector<float> right = unpack(b, k, n);
  const auto width = static_cast<std::size_t>(n);
  std::vector<float> sum(width);
  for (std::size_t i = 0; i < static_cast<std::size_t>(m); ++i) {
    std::fill(sum.begin(), sum.end(), 0.0f);
    for (std::size_t x = 0; x < static_cast<std::size_t>(k); ++x) {
      const float scale = left[i * static_cast<std::size_t>(k) + x];
      const float* row = &right[x * width];
      for (std::size_t j = 0; j < width; ++j) sum[j] += scale * row[j];
    }
    for (std::size_t j = 0; j < width; ++j) {
      char* out = const_cast<char*>(element(c, i, j));
      store(out, c.type, alpha * sum[j] + (beta != 0 ? beta * load(out, c.type) : 0.0f));
    }
  }
}

}  // namespace ep::emulator
