#pragma once
#include <bit>
#include <cstdint>
#include <string_view>

namespace ep::core {

/// Element type of a payload. Sums are always accumulated in fp32.
enum class DType : std::uint8_t { f32, bf16, e4m3 };

constexpr std::int64_t size_of(DType dtype) {
  return dtype == DType::f32 ? 4 : dtype == DType::bf16 ? 2 : 1;
}

/// "fp32", "bf16" or "fp8".
constexpr std::string_view name_of(DType dtype) {
  return dtype == DType::f32 ? "fp32" : dtype == DType::bf16 ? "bf16" : "fp8";
}

/// Inverse of name_of. Throws InputError naming `field` for any other word.
DType parse_dtype(std::string_view word, std::string_view field);

/// bfloat16 as its 16 bits: the upper half of an fp32.
struct BFloat16 {
  std::uint16_t bits = 0;
};

constexpr float to_float(BFloat16 value) {
  return std::bit_cast<float>(std::uint32_t{value.bits} << 16);
}

/// Round to nearest even; NaN stays NaN (quiet).
constexpr BFloat16 to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return {static_cast<std::uint16_t>((bits >> 16) | 0x40U)};
  return {static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16)};
}

}  // namespace ep::core
