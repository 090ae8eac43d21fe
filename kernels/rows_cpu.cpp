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

EP_SIMD_CLONES void accumulate_f32(float weight, const float* __restrict in, float* __restrict sum,
                                   std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) sum[i] += weight * in[i];
}

EP_SIMD_CLONES void accumulate_bf16(float weight, const BFloat16* __restrict in, float* __restrict sum,
                                    std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) sum[i] += weight * core::to_float(in[i]);
}

EP_SIMD_CLONES void scale_f32(float weight, const float* __restrict in, float* __restrict out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = weight * in[i];
}

EP_SIMD_CLONES void scale_bf16(float weight, const BFloat16* __restrict in, BFloat16* __restrict out,
                               std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = core::to_bfloat16(weight * core::to_float(in[i]));
}

EP_SIMD_CLONES float dot_f32(const float* __restrict a, const float* __restrict b, std::int64_t count) {
  constexpr std::int64_t kLanes = 16;
  float sums[kLanes] = {};
  const std::int64_t whole = count / kLanes * kLanes;
  for (std::int64_t i = 0; i < whole; i += kLanes) {
    for (std::int64_t lane = 0; lane < kLanes; ++lane) sums[lane] += a[i + lane] * b[i + lane];
  }
  for (std::int64_t i = whole; i < count; ++i) sums[i - whole] += a[i] * b[i];
  float sum = 0;
  for (const float part : sums) sum += part;
  return sum;
}

}  // namespace

void widen(const BFloat16* in, float* out, std::int64_t count) {
  widen_clones(in, out, count);
}
void narrow(const float* in, BFloat16* out, std::int64_t count) {
  narrow_clones(in, out, count);
}
void accumulate(float weight, const float* in, float* sum, std::int64_t count) {
  accumulate_f32(weight, in, sum, count);
}
void accumulate(float weight, const BFloat16* in, float* sum, std::int64_t count) {
  accumulate_bf16(weight, in, sum, count);
}

void scale(float weight, const float* in, float* out, std::int64_t count) {
  scale_f32(weight, in, out, count);
}
void scale(float weight, const BFloat16* in, BFloat16* out, std::int64_t count) {
  scale_bf16(weight, in, out, count);
}
float dot(const float* a, const float* b, std::int64_t count) {
  return dot_f32(a, b, count);
}

}  // namespace ep::kernels::rows
