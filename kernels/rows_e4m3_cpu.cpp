#include <algorithm>
#include <bit>

#include "kernels/rows_cpu.hpp"
#include "kernels/simd.hpp"

namespace ep::kernels::rows {
namespace {

using core::BFloat16;

float as_float(float value) {
  return value;
}
float as_float(BFloat16 value) {
  return core::to_float(value);
}

/// In bits, whose order is that of the values, NaNs becoming zeros: a maximum of integers is vectorised, one of floats
/// is not.
template <class T>
inline __attribute__((always_inline)) float largest_of(const T* __restrict in, std::int64_t count) {
  std::int32_t largest = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto size = static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(as_float(in[i])) & 0x7fffffffU);
    const std::int32_t number = size & -static_cast<std::int32_t>(size <= 0x7f800000);
    largest = std::max(largest, number);
  }
  return std::bit_cast<float>(largest);
}

EP_SIMD_CLONES float amax_f32(const float* __restrict in, std::int64_t count) {
  return largest_of(in, count);
}
EP_SIMD_CLONES float amax_bf16(const BFloat16* __restrict in, std::int64_t count) {
  return largest_of(in, count);
}
EP_SIMD_CLONES void quantise_f32(float inverse, const float* __restrict in, E4m3* __restrict out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = to_e4m3(in[i] * inverse);
}
EP_SIMD_CLONES void quantise_bf16(float inverse, const BFloat16* __restrict in, E4m3* __restrict out,
                                  std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = to_e4m3(core::to_float(in[i]) * inverse);
}
EP_SIMD_CLONES void dequantise_f32(float scale, const E4m3* __restrict in, float* __restrict out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = to_float(in[i]) * scale;
}
EP_SIMD_CLONES void dequantise_bf16(float scale, const E4m3* __restrict in, BFloat16* __restrict out,
                                    std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = core::to_bfloat16(to_float(in[i]) * scale);
}

}  // namespace

float amax(const float* in, std::int64_t count) {
  return amax_f32(in, count);
}
float amax(const BFloat16* in, std::int64_t count) {
  return amax_bf16(in, count);
}
void quantise(float inverse, const float* in, E4m3* out, std::int64_t count) {
  quantise_f32(inverse, in, out, count);
}
void quantise(float inverse, const BFloat16* in, E4m3* out, std::int64_t count) {
  quantise_bf16(inverse, in, out, count);
}
void dequantise(float scale, const E4m3* in, float* out, std::int64_t count) {
  dequantise_f32(scale, in, out, count);
}
void dequantise(float scale, const E4m3* in, BFloat16* out, std::int64_t count) {
  dequantise_bf16(scale, in, out, count);
}

}  // namespace ep::kernels::rows
