#pragma once
#include <cstdint>

#include "kernels/token_layout.hpp"

// fp8 rows: what an element is and where it lies, shared by the host and device back ends.
namespace ep::kernels {

/// An fp8 value as its 8 bits: sign, 4 of exponent, 3 of mantissa; +-448 at most, no infinity, NaN where all seven bits
/// of its size are set. (OCP 8-bit Floating Point Specification, revision 1.0: E4M3.)
struct E4m3 {
  std::uint8_t bits = 0;
};

inline constexpr float kE4m3Max = 448.0F;
inline constexpr std::int32_t kScaleBlock = 128;  // elements of a row that share a scale

/// Exact.
EP_HOST_DEVICE constexpr float to_float(E4m3 value) {
  const std::uint32_t sign = std::uint32_t{value.bits & 0x80U} << 24;
  const std::uint32_t size = value.bits & 0x7fU;
  // In the place of an fp32's exponent and mantissa it is 2^120 too small, subnormal or not.
  const float magnitude = __builtin_bit_cast(float, size << 20) * 0x1p120F;
  const std::uint32_t bits = size == 0x7fU ? 0x7fc00000U : __builtin_bit_cast(std::uint32_t, magnitude);
  return __builtin_bit_cast(float, bits | sign);
}

/// Round to nearest even; what is larger than 448, infinity too, becomes 448 of its sign, NaN 0x7f. Without branches,
/// so that loops over it are vectorised.
EP_HOST_DEVICE constexpr E4m3 to_e4m3(float value) {
  const auto bits = __builtin_bit_cast(std::uint32_t, value);
  const std::uint32_t size = bits & 0x7fffffffU;
  const std::uint32_t rounded = ((size + 0x7ffffU + ((size >> 20) & 1U)) >> 20) - (120U << 3);
  // Below 2^-6 e4m3 has steps of 2^-9, as fp32 has from 2^14 on: the addition rounds.
  const float shifted = __builtin_bit_cast(float, size) + 0x1p14F;
  const std::uint32_t subnormal = __builtin_bit_cast(std::uint32_t, shifted) - 0x46800000U;
  const std::uint32_t finite = size < 0x3c800000U ? subnormal : rounded < 0x7eU ? rounded : 0x7eU;
  const std::uint32_t code = size > 0x7f800000U ? 0x7fU : finite | ((bits >> 24) & 0x80U);
  return {static_cast<std::uint8_t>(code)};
}

/// Scale of a block whose largest absolute value is `amax`: amax / 448, or 1 where that is no normal number, which is
/// what zeros get. An element is then to_e4m3(value * (1 / scale)), and to_float(element) * scale what becomes of it.
EP_HOST_DEVICE constexpr float e4m3_scale(float amax) {
  const float scale = amax / kE4m3Max;
  return scale >= 0x1p-126F ? scale : 1.0F;
}

/// A row is `hidden` elements, the scales of their blocks, and zeros up to a multiple of 16 bytes.
EP_HOST_DEVICE constexpr std::int64_t scale_count(std::int32_t hidden) {
  return (std::int64_t{hidden} + kScaleBlock - 1) / kScaleBlock;
}
EP_HOST_DEVICE constexpr std::int64_t scale_offset(std::int32_t hidden, std::int64_t block) {
  return hidden + block * std::int64_t{sizeof(float)};
}
EP_HOST_DEVICE constexpr std::int64_t e4m3_row_bytes(std::int32_t hidden) {
  return (scale_offset(hidden, scale_count(hidden)) + 15) / 16 * 16;
}

}  // namespace ep::kernels
