#include <algorithm>
#include <array>
#include <bit>

#include "kernels/rows_cpu.hpp"
#include "kernels/simd.hpp"

// A file of its own because it is compiled with fused multiply-adds where the CPU has them: a third fewer
// instructions, and nobody needs the same last bit of an activation on every machine.
namespace ep::kernels::rows {
namespace {

using core::BFloat16;

/// exp(x) for |x| <= 88, relative error below 2e-7: x = n ln 2 + r with |r| <= ln 2 / 2, so exp(x) = 2^n exp(r), and
/// Taylor's series of exp(r) up to r^7 leaves r^8/8! < 6e-9. Branchless and without library calls, so that it
/// vectorises. ln 2 is split in two (Cody and Waite, "Software Manual for the Elementary Functions", 1980): the upper
/// part has few enough bits that n times it is exact.
inline float exp_bounded(float x) {
  constexpr float kRound = 0x1.8p23F;  // adding it leaves the nearest integer in the low bits of the sum
  constexpr float kLog2E = 0x1.715476p0F;
  constexpr float kLn2High = 0x1.62e4p-1F;
  constexpr float kLn2Low = 0x1.7f7d1cp-20F;
  const float shifted = x * kLog2E + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  float p = 1.0F / 5040;
  p = p * r + 1.0F / 720;
  p = p * r + 1.0F / 120;
  p = p * r + 1.0F / 24;
  p = p * r + 1.0F / 6;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  // The low bits of `shifted` are n, and n added to the exponent field multiplies by 2^n.
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(p) + (std::bit_cast<std::uint32_t>(shifted) << 23));
}

constexpr float kBound = 87.0F;  // keeps exp(-x) a normal number; what lies below is as good as 0

inline float silu(float x) {
  const float bounded = x < -kBound ? -kBound : x;
  return bounded / (1.0F + exp_bounded(-(bounded > kBound ? kBound : bounded)));
}

EP_SIMD_CLONES void swiglu_f32(const float* __restrict gate, const float* __restrict up, float* __restrict out,
                               std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = silu(gate[i]) * up[i];
}

EP_SIMD_CLONES void swiglu_grad_f32(const float* __restrict gate, const float* __restrict up,
                                    const float* __restrict out_grad, float* __restrict gate_grad,
                                    float* __restrict up_grad, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float x = gate[i] < -kBound ? -kBound : gate[i];
    const float s = 1.0F / (1.0F + exp_bounded(-(x > kBound ? kBound : x)));
    gate_grad[i] = out_grad[i] * up[i] * s * (1.0F + x * (1.0F - s));
    up_grad[i] = out_grad[i] * x * s;
  }
}

}  // namespace

void swiglu(const float* gate, const float* up, float* out, std::int64_t count) {
  swiglu_f32(gate, up, out, count);
}
void swiglu(const BFloat16* gate, const BFloat16* up, BFloat16* out, std::int64_t count) {
  // By blocks that stay in the first-level cache: one loop over both types is more than some compilers vectorise.
  constexpr std::int64_t kBlock = 512;
  std::array<float, kBlock> wide_gate;
  std::array<float, kBlock> wide_up;
  std::array<float, kBlock> wide_out;
  for (std::int64_t first = 0; first < count; first += kBlock) {
    const std::int64_t size = std::min(kBlock, count - first);
    widen(gate + first, wide_gate.data(), size);
    widen(up + first, wide_up.data(), size);
    swiglu_f32(wide_gate.data(), wide_up.data(), wide_out.data(), size);
    narrow(wide_out.data(), out + first, size);
  }
}

void swiglu_grad(const float* gate, const float* up, const float* out_grad, float* gate_grad, float* up_grad,
                 std::int64_t count) {
  swiglu_grad_f32(gate, up, out_grad, gate_grad, up_grad, count);
}
void swiglu_grad(const BFloat16* gate, const BFloat16* up, const BFloat16* out_grad, BFloat16* gate_grad,
                 BFloat16* up_grad, std::int64_t count) {
  constexpr std::int64_t kBlock = 512;
  std::array<std::array<float, kBlock>, 5> wide;
  for (std::int64_t first = 0; first < count; first += kBlock) {
    const std::int64_t size = std::min(kBlock, count - first);
    widen(gate + first, wide[0].data(), size);
    widen(up + first, wide[1].data(), size);
    widen(out_grad + first, wide[2].data(), size);
    swiglu_grad_f32(wide[0].data(), wide[1].data(), wide[2].data(), wide[3].data(), wide[4].data(), size);
    narrow(wide[3].data(), gate_grad + first, size);
    narrow(wide[4].data(), up_grad + first, size);
  }
}

}  // namespace ep::kernels::rows
