#include "kernels/rows_cpu.hpp"

#include "kernels/simd.hpp"

namespace ep::kernels::rows {
namespace {

using core::BFloat16;

EP_SIMD_CLONES void widen_clones(const BFloat16* __restrict in, float* __restrict out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = core::to_float(in[i]);
}

EP_SIMD_CLONES void narrow_clones(const float* __restrict in, BFloat16* __restrict out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = core::to_bfloat16(in[i]);
}

float widened(float value) {
  return value;
}
float widened(BFloat16 value) {
  return core::to_float(value);
}

template <class T>
[[gnu::always_inline]] inline void add_weighted_columns(std::span<const float> weights, const T* const* rows,
                                                        float* __restrict sum, std::int64_t count) {
  constexpr std::int64_t kColumns = 64;  // so few that all rows advance together
  std::int64_t first = 0;
  for (; first + kColumns <= count; first += kColumns) {
    for (std::size_t r = 0; r < weights.size(); ++r) {
      const float weight = weights[r];
      const T* __restrict row = rows[r] + first;
      for (std::int64_t i = 0; i < kColumns; ++i) sum[first + i] += weight * widened(row[i]);
    }
  }
  for (std::size_t r = 0; r < weights.size(); ++r)
    for (std::int64_t i = first; i < count; ++i) sum[i] += weights[r] * widened(rows[r][i]);
}

EP_SIMD_CLONES void add_weighted_f32(std::span<const float> weights, const float* const* rows, float* sum,
                                     std::int64_t count) {
  add_weighted_columns(weights, rows, sum, count);
}

EP_SIMD_CLONES void add_weighted_bf16(std::span<const float> weights, const BFloat16* const* rows, float* sum,
                                      std::int64_t count) {
  add_weighted_columns(weights, rows, sum, count);
}

}  // namespace

void widen(const BFloat16* in, float* out, std::int64_t count) {
  widen_clones(in, out, count);
}
void narrow(const float* in, BFloat16* out, std::int64_t count) {
  narrow_clones(in, out, count);
}
void add_weighted(std::span<const float> weights, const float* const* rows, float* sum, std::int64_t count) {
  add_weighted_f32(weights, rows, sum, count);
}
void add_weighted(std::span<const float> weights, const BFloat16* const* rows, float* sum, std::int64_t count) {
  add_weighted_bf16(weights, rows, sum, count);
}
}  // namespace ep::kernels::rows
