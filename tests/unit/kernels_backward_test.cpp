// The kernels of the backward pass, chained over a tiny layer of one rank, against finite differences of the forward
// pass written in double precision.
#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include <gtest/gtest.h>

#include "core/error.hpp"
#include "kernels/gate_grad.hpp"
#include "kernels/gemm.hpp"
#include "kernels/pack_weighted.hpp"
#include "kernels/reduce.hpp"
#include "kernels/swiglu.hpp"
#include "kernels/swiglu_grad.hpp"
#include "kernels_fixture.hpp"

namespace ep::kernels {
namespace {

using core::DType;

constexpr int kTokens = 5;
constexpr int kTopk = 2;
constexpr int kExperts = 3;
constexpr int kHidden = 6;
constexpr int kFfn = 4;

std::size_t at(std::int64_t index) {
  return static_cast<std::size_t>(index);
}

/// Everything that the loss depends on, loss = sum of out_grad * output.
struct TinyLayer {
  std::vector<float> x;        // [tokens, hidden]
  std::vector<float> gates;    // [tokens, topk]
  std::vector<float> gate_up;  // [experts, 2 ffn, hidden]
  std::vector<float> down;     // [experts, hidden, ffn]
  std::vector<float> out_grad;
  std::vector<std::int32_t> experts;   // [tokens, topk], -1 masked
  std::vector<std::int32_t> position;  // bucket order, which is expert order on one rank
  std::vector<std::int64_t> expert_rows;
  std::int64_t copies = 0;
};

TinyLayer make_layer(std::uint64_t seed) {
  core::Random random(seed, 11);
  TinyLayer layer;
  layer.x = random_floats(random, kTokens * kHidden);
  layer.gates = random_floats(random, kTokens * kTopk);
  layer.gate_up = random_floats(random, kExperts * 2 * kFfn * kHidden);
  layer.down = random_floats(random, kExperts * kHidden * kFfn);
  layer.out_grad = random_floats(random, kTokens * kHidden);
  layer.experts = random_experts(random, kTokens, kTopk, kExperts);
  layer.position = bucket_positions(layer.experts, {0, 1, 2}, kExperts);
  layer.expert_rows.assign(kExperts, 0);
  for (const std::int32_t expert : layer.experts) {
    if (expert >= 0) ++layer.expert_rows[at(expert)];
    layer.copies += expert >= 0 ? 1 : 0;
  }
  return layer;
}

double loss_of_copy(const TinyLayer& layer, std::int64_t token, std::int64_t expert) {
  double loss = 0;
  for (int i = 0; i < kFfn; ++i) {
    double gate = 0;
    double up = 0;
    for (int h = 0; h < kHidden; ++h) {
      const double x{layer.x[at(token * kHidden + h)]};
      gate += x * double{layer.gate_up[at((expert * 2 * kFfn + i) * kHidden + h)]};
      up += x * double{layer.gate_up[at((expert * 2 * kFfn + kFfn + i) * kHidden + h)]};
    }
    const double activation = gate / (1 + std::exp(-gate)) * up;
    for (int h = 0; h < kHidden; ++h) {
      loss += activation * double{layer.down[at((expert * kHidden + h) * kFfn + i)]} *
              double{layer.out_grad[at(token * kHidden + h)]};
    }
  }
  return loss;
}

double loss(const TinyLayer& layer) {
  double sum = 0;
  for (std::int64_t copy = 0; copy < kTokens * kTopk; ++copy) {
    const std::int32_t expert = layer.experts[at(copy)];
    if (expert >= 0) sum += double{layer.gates[at(copy)]} * loss_of_copy(layer, copy / kTopk, expert);
  }
  return sum;
}

struct Gradients {
  std::vector<float> x;
  std::vector<float> gates;
  std::vector<float> gate_up;
  std::vector<float> down;
};

/// What the layer does, kernel by kernel.
Gradients backward(const TinyLayer& layer) {
  const std::int64_t copies = layer.copies;
  const auto rows = [copies](std::int64_t width) { return std::vector<float>(at(copies * width), NAN); };
  std::vector<float> expert_in = rows(kHidden);
  std::vector<float> gate_up = rows(2 * kFfn);
  std::vector<float> activation = rows(kFfn);
  std::vector<float> expert_out = rows(kHidden);
  const std::vector<float> ones(kTokens * kTopk, 1.0F);
  const auto pack = [&](const std::vector<float>& tokens, const std::vector<float>& weights, std::vector<float>& to) {
    pack_weighted_cpu({tokens.data(),
                       layer.position.data(),
                       weights.data(),
                       kTokens,
                       kTopk,
                       kHidden,
                       DType::f32,
                       to.data(),
                       {},
                       nullptr});
  };
  pack(layer.x, ones, expert_in);
  const auto& groups = layer.expert_rows;
  grouped_gemm_cpu({groups, expert_in.data(), layer.gate_up.data(), gate_up.data(), 2 * kFfn, kHidden, DType::f32});
  swiglu_cpu({gate_up.data(), activation.data(), copies, kFfn, DType::f32});
  grouped_gemm_cpu({groups, activation.data(), layer.down.data(), expert_out.data(), kHidden, kFfn, DType::f32});

  Gradients gradients{std::vector<float>(kTokens * kHidden, NAN), std::vector<float>(kTokens * kTopk, NAN),
                      std::vector<float>(layer.gate_up.size(), NAN), std::vector<float>(layer.down.size(), NAN)};
  gate_grad_cpu({layer.out_grad.data(), expert_out.data(), layer.position.data(), gradients.gates.data(), kTokens,
                 kTopk, kHidden, DType::f32, DType::f32});
  std::vector<float> out_grad = rows(kHidden);
  std::vector<float> activation_grad = rows(kFfn);
  std::vector<float> gate_up_grad = rows(2 * kFfn);
  std::vector<float> in_grad = rows(kHidden);
  pack(layer.out_grad, layer.gates, out_grad);
  grouped_gemm_cpu(
      {groups, out_grad.data(), layer.down.data(), activation_grad.data(), kFfn, kHidden, DType::f32, true});
  weight_grad_cpu(
      {groups, out_grad.data(), activation.data(), gradients.down.data(), kHidden, kFfn, DType::f32, false});
  swiglu_grad_cpu({gate_up.data(), activation_grad.data(), gate_up_grad.data(), copies, kFfn, DType::f32});
  grouped_gemm_cpu(
      {groups, gate_up_grad.data(), layer.gate_up.data(), in_grad.data(), kHidden, 2 * kFfn, DType::f32, true});
  weight_grad_cpu(
      {groups, gate_up_grad.data(), expert_in.data(), gradients.gate_up.data(), 2 * kFfn, kHidden, DType::f32, false});
  reduce_cpu({in_grad.data(), layer.position.data(), nullptr, nullptr, gradients.x.data(), kTokens, kTopk, kHidden,
              DType::f32, DType::f32});
  return gradients;
}

/// Central differences: the error of the quotient is of the order of step^2, that of its rounding 2^-53 / step.
void compare(const TinyLayer& at, std::vector<float> TinyLayer::*variable, const std::vector<float>& gradient,
             const char* name) {
  TinyLayer layer = at;
  constexpr float kStep = 0x1p-9F;
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    float& value = (layer.*variable)[i];
    const float centre = value;
    value = centre + kStep;
    const double above = value;
    const double loss_above = loss(layer);
    value = centre - kStep;
    const double below = value;
    const double loss_below = loss(layer);
    value = centre;
    const double wanted = (loss_above - loss_below) / (above - below);
    ASSERT_NEAR(gradient[i], wanted, 2e-5 * (1 + std::abs(wanted))) << name << " " << i;
  }
}

TEST(BackwardKernels, ChainedOverATinyLayerAgreeWithFiniteDifferences) {
  set_gemm_threads(1);
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    const TinyLayer layer = make_layer(seed);
    const Gradients gradients = backward(layer);
    compare(layer, &TinyLayer::x, gradients.x, "x");
    compare(layer, &TinyLayer::gates, gradients.gates, "gate weight");
    compare(layer, &TinyLayer::gate_up, gradients.gate_up, "gate_up");
    compare(layer, &TinyLayer::down, gradients.down, "down");
  }
}

TEST(WeightGrad, AddsToWhatIsThereWhenAsked) {
  const std::vector<std::int64_t> groups{2, 0};
  const std::vector<float> out_grad{1, 2, 3, 4, 5, 6};  // [2, 3]
  const std::vector<float> in{1, 10, 100, 1000};        // [2, 2]
  std::vector<float> out(12, 7.0F);
  weight_grad_cpu({groups, out_grad.data(), in.data(), out.data(), 3, 2, DType::f32, true});
  EXPECT_EQ(out, (std::vector<float>{408, 4017, 509, 5027, 610, 6037, 7, 7, 7, 7, 7, 7}));
  weight_grad_cpu({groups, out_grad.data(), in.data(), out.data(), 3, 2, DType::f32, false});
  EXPECT_EQ(out, (std::vector<float>{401, 4010, 502, 5020, 603, 6030, 0, 0, 0, 0, 0, 0}));
}

using SwigluGrad = BothStores;
INSTANTIATE_TEST_SUITE_P(, SwigluGrad, testing::Bool(), name_of_stores);

TEST_P(SwigluGrad, Bf16RoundsOnceFromFp32) {
  for (const int ffn : {1, 31, 513, 1100}) {
    core::Random random(static_cast<std::uint64_t>(ffn), 12);
    constexpr std::int64_t kRows = 3;
    const auto narrow = random_bf16(random, kRows * 2 * ffn);
    const auto narrow_grad = random_bf16(random, kRows * ffn);
    std::vector<float> wide;
    std::vector<float> wide_grad;
    for (const auto value : narrow) wide.push_back(core::to_float(value));
    for (const auto value : narrow_grad) wide_grad.push_back(core::to_float(value));
    std::vector<BFloat16> out(narrow.size());
    std::vector<float> wide_out(narrow.size(), NAN);
    swiglu_grad_cpu({narrow.data(), narrow_grad.data(), out.data(), kRows, ffn, DType::bf16});
    swiglu_grad_cpu({wide.data(), wide_grad.data(), wide_out.data(), kRows, ffn, DType::f32});
    for (std::size_t i = 0; i < out.size(); ++i)
      ASSERT_EQ(out[i].bits, core::to_bfloat16(wide_out[i]).bits) << "ffn " << ffn << " at " << i;
  }
}

TEST_P(SwigluGrad, IsFiniteWhereTheGateSaturates) {
  const std::vector<float> gate_up{-3e38F, -200, 0, 200, 3e30F, 1, 1, 1, 1, 1};
  const std::vector<float> grad(5, 1.0F);
  std::vector<float> out(10, NAN);
  swiglu_grad_cpu({gate_up.data(), grad.data(), out.data(), 1, 5, DType::f32});
  const std::vector<float> slope{0, 0, 0.5F, 1, 1};
  for (std::size_t i = 0; i < 5; ++i) EXPECT_NEAR(out[i], slope[i], 1e-6) << i;
  EXPECT_NEAR(out[8], 200, 1e-4);
}

TEST(BackwardKernels, RefuseFp8) {
  EXPECT_THROW(swiglu_grad_cpu({nullptr, nullptr, nullptr, 0, 8, DType::e4m3}), core::Error);
  EXPECT_THROW(pack_weighted_cpu({nullptr, nullptr, nullptr, 0, 1, 8, DType::e4m3, nullptr, {}, nullptr}), core::Error);
  EXPECT_THROW(gate_grad_cpu({nullptr, nullptr, nullptr, nullptr, 0, 1, 8, DType::f32, DType::e4m3}), core::Error);
}

}  // namespace
}  // namespace ep::kernels
