#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "core/error.hpp"
#include "kernels/rows_cpu.hpp"
#include "kernels/swiglu.hpp"
#include "kernels_fixture.hpp"

namespace ep::kernels {
namespace {

using core::DType;
using Swiglu = BothStores;
INSTANTIATE_TEST_SUITE_P(, Swiglu, testing::Bool(), name_of_stores);

double silu(double x) {
  return x / (1 + std::exp(-x));
}

TEST_P(Swiglu, AgreesWithDoublePrecisionOnRandomShapes) {
  for (const int ffn : {1, 3, 16, 31, 512, 1025}) {
    for (const std::int64_t rows : {0, 1, 5}) {
      core::Random random(static_cast<std::uint64_t>(ffn), 6);
      const auto gate_up = random_floats(random, rows * 2 * ffn);
      std::vector<float> out(static_cast<std::size_t>(rows * ffn));
      swiglu_cpu({gate_up.data(), out.data(), rows, ffn, DType::f32});
      for (std::int64_t i = 0; i < rows * ffn; ++i) {
        const auto gate = static_cast<std::size_t>(i / ffn * 2 * ffn + i % ffn);
        const double want = silu(gate_up[gate]) * gate_up[gate + static_cast<std::size_t>(ffn)];
        ASSERT_NEAR(out[static_cast<std::size_t>(i)], want, 4e-7 * std::abs(want)) << "ffn " << ffn << " at " << i;
      }
    }
  }
}

TEST_P(Swiglu, Bf16RoundsOnceFromFp32) {
  for (const int ffn : {1, 31, 513, 1100}) {
    core::Random random(static_cast<std::uint64_t>(ffn), 7);
    const std::int64_t rows = 3;
    const auto gate_up = random_bf16(random, rows * 2 * ffn);
    std::vector<float> wide;
    for (const auto value : gate_up) wide.push_back(core::to_float(value));
    std::vector<BFloat16> out(static_cast<std::size_t>(rows * ffn));
    std::vector<float> wide_out(out.size());
    swiglu_cpu({gate_up.data(), out.data(), rows, ffn, DType::bf16});
    swiglu_cpu({wide.data(), wide_out.data(), rows, ffn, DType::f32});
    for (std::size_t i = 0; i < out.size(); ++i)
      ASSERT_EQ(out[i].bits, core::to_bfloat16(wide_out[i]).bits) << "ffn " << ffn << " at " << i;
  }
}

TEST(SwigluActivation, KeepsItsStatedAccuracyOverAllMagnitudes) {
  std::vector<float> gate;
  for (float x = 1e-6F; x < 200; x *= 1.0001F) {
    gate.push_back(x);
    gate.push_back(-x);
  }
  const std::vector<float> up(gate.size(), 1.0F);
  std::vector<float> out(gate.size());
  rows::swiglu(gate.data(), up.data(), out.data(), static_cast<std::int64_t>(gate.size()));
  for (std::size_t i = 0; i < gate.size(); ++i) {
    const double want = silu(gate[i]);
    const double bound = gate[i] >= -87 ? 3e-7 * std::abs(want) : 2e-36;
    ASSERT_NEAR(out[i], want, bound) << "at " << gate[i];
  }
}

TEST(SwigluActivation, SpecialValues) {
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> gate{0.0F, inf, NAN, 3e38F, -3e38F};
  const std::vector<float> up(gate.size(), 1.0F);
  std::vector<float> out(gate.size());
  rows::swiglu(gate.data(), up.data(), out.data(), static_cast<std::int64_t>(gate.size()));
  EXPECT_EQ(out[0], 0.0F);
  EXPECT_EQ(out[1], inf);
  EXPECT_TRUE(std::isnan(out[2]));
  EXPECT_EQ(out[3], 3e38F);
  EXPECT_NEAR(out[4], 0.0F, 2e-36);
}

TEST_P(Swiglu, RefusesFp8) {
  EXPECT_THROW(swiglu_cpu({nullptr, nullptr, 0, 8, DType::e4m3}), core::Error);
}

}  // namespace
}  // namespace ep::kernels
