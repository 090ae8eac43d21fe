// Every kernel of the backward pass of a device against the plain loop that says what it means.
#include <algorithm>
#include <cmath>
#include <cstddef>

#include "device_suite.hpp"
#include "tests/unit/kernels_fixture.hpp"

namespace ep::device {
namespace {

using core::BFloat16;
using core::DType;
using core::Random;

TEST_P(DeviceSuite, PackWeightedScalesEachCopy) {
  Random random(6, 7);
  constexpr std::int64_t kTokens = 90;
  constexpr std::int32_t kTopk = 4;
  constexpr std::int32_t kHidden = 72;
  const auto ids = kernels::random_experts(random, kTokens, kTopk, 8);
  const auto position = kernels::bucket_positions(ids, {0, 1, 2, 3, 4, 5, 6, 7}, 8);
  const std::int64_t copies = 1 + *std::max_element(position.begin(), position.end());
  const kernels::OwnRows own{copies / 4, copies / 2};
  const auto tokens = kernels::random_bf16(random, kTokens * kHidden);
  const auto weights = kernels::random_floats(random, kTokens * kTopk);
  const Buffer tokens_on = upload(tokens);
  const Buffer position_on = upload(position);
  const Buffer weights_on = upload(weights);
  const Buffer send_on = uninitialised<BFloat16>(copies * kHidden);
  const Buffer own_on = uninitialised<BFloat16>((own.end - own.begin) * kHidden);
  device_->launch(device_->compute_stream(),
                  kernels::PackWeightedArgs{tokens_on.data(), position_on.as<std::int32_t>(), weights_on.as<float>(),
                                            kTokens, kTopk, kHidden, DType::bf16, send_on.data(), own, own_on.data()});
  const auto sent = download<BFloat16>(send_on);
  const auto kept = download<BFloat16>(own_on);
  for (std::int64_t copy = 0; copy < kTokens * kTopk; ++copy) {
    const std::int64_t row = position[at(copy)];
    if (row < 0) continue;
    for (std::int64_t h = 0; h < kHidden; ++h) {
      const BFloat16 got = own.contains(row) ? kept[at((row - own.begin) * kHidden + h)] : sent[at(row * kHidden + h)];
      const float want = weights[at(copy)] * core::to_float(tokens[at(copy / kTopk * kHidden + h)]);
      ASSERT_EQ(got.bits, core::to_bfloat16(want).bits) << "copy " << copy << ", " << h;
    }
  }
}

TEST_P(DeviceSuite, GateGradIsTheDotProductOfEachCopy) {
  Random random(7, 8);
  constexpr std::int64_t kTokens = 70;
  constexpr std::int32_t kTopk = 3;
  constexpr std::int32_t kHidden = 296;
  const auto ids = kernels::random_experts(random, kTokens, kTopk, 8);
  const auto position = kernels::bucket_positions(ids, {0, 1, 2, 3, 4, 5, 6, 7}, 8);
  const std::int64_t copies = 1 + *std::max_element(position.begin(), position.end());
  const auto grad = kernels::random_bf16(random, kTokens * kHidden);
  const auto rows = kernels::random_floats(random, copies * kHidden);
  const Buffer grad_on = upload(grad);
  const Buffer rows_on = upload(rows);
  const Buffer position_on = upload(position);
  const Buffer out_on = uninitialised<float>(kTokens * kTopk);
  device_->launch(device_->compute_stream(),
                  kernels::GateGradArgs{grad_on.data(), rows_on.data(), position_on.as<std::int32_t>(),
                                        out_on.as<float>(), kTokens, kTopk, kHidden, DType::bf16, DType::f32});
  const auto out = download<float>(out_on);
  for (std::int64_t copy = 0; copy < kTokens * kTopk; ++copy) {
    double want = 0;
    for (std::int64_t h = 0; position[at(copy)] >= 0 && h < kHidden; ++h)
      want += static_cast<double>(core::to_float(grad[at(copy / kTopk * kHidden + h)])) *
              rows[at(position[at(copy)] * kHidden + h)];
    ASSERT_NEAR(out[at(copy)], want, 1e-4) << "copy " << copy;
  }
}

TEST_P(DeviceSuite, SwigluGradIsTheSlopeOfSwiglu) {
  Random random(8, 9);
  constexpr std::int64_t kRows = 21;
  constexpr std::int32_t kFfn = 72;
  const auto gate_up = kernels::random_floats(random, kRows * 2 * kFfn);
  const auto grad = kernels::random_floats(random, kRows * kFfn);
  const Buffer gate_up_on = upload(gate_up);
  const Buffer grad_on = upload(grad);
  const Buffer out_on = uninitialised<float>(kRows * 2 * kFfn);
  device_->launch(device_->compute_stream(),
                  kernels::SwigluGradArgs{gate_up_on.data(), grad_on.data(), out_on.data(), kRows, kFfn, DType::f32});
  const auto out = download<float>(out_on);
  const auto value = [](double gate, double up) { return gate / (1 + std::exp(-gate)) * up; };
  constexpr double kStep = 1e-5;
  for (std::int64_t row = 0; row < kRows; ++row)
    for (std::int64_t i = 0; i < kFfn; ++i) {
      const std::int64_t first = row * 2 * kFfn + i;
      const double gate{gate_up[at(first)]};
      const double up{gate_up[at(first + kFfn)]};
      const double weight{grad[at(row * kFfn + i)]};
      const double gate_slope = (value(gate + kStep, up) - value(gate - kStep, up)) / (2 * kStep);
      ASSERT_NEAR(out[at(first)], weight * gate_slope, 2e-6) << row << ", " << i;
      ASSERT_NEAR(out[at(first + kFfn)], weight * value(gate, 1), 2e-6) << row << ", " << i;
    }
}

TEST_P(DeviceSuite, ReduceWithoutWeightsAddsUp) {
  constexpr std::int32_t kHidden = 8;
  const std::vector<std::int32_t> position{1, 0, -1, 2};  // [2, 2]
  std::vector<float> rows;
  for (int i = 0; i < 3 * kHidden; ++i) rows.push_back(static_cast<float>(i));
  const Buffer rows_on = upload(rows);
  const Buffer position_on = upload(position);
  const Buffer out_on = uninitialised<float>(2 * kHidden);
  device_->launch(device_->compute_stream(),
                  kernels::ReduceArgs{rows_on.data(), position_on.as<std::int32_t>(), nullptr, nullptr, out_on.data(),
                                      2, 2, kHidden, DType::f32, DType::f32});
  const auto out = download<float>(out_on);
  for (std::int64_t h = 0; h < kHidden; ++h) {
    EXPECT_EQ(out[at(h)], rows[at(h)] + rows[at(kHidden + h)]);
    EXPECT_EQ(out[at(kHidden + h)], rows[at(2 * kHidden + h)]);
  }
}

TEST_P(DeviceSuite, GroupedGemmTakesWeightsByK) {
  Random random(9, 10);
  const std::vector<std::int64_t> group_rows{3, 0, 9};
  constexpr std::int64_t kN = 40;
  constexpr std::int64_t kK = 24;
  const auto in = kernels::random_floats(random, 12 * kK);
  const auto weights = kernels::random_floats(random, 3 * kN * kK);
  const Buffer in_on = upload(in);
  const Buffer weights_on = upload(weights);
  const Buffer out_on = uninitialised<float>(12 * kN);
  device_->launch(device_->compute_stream(), kernels::GroupedGemmArgs{group_rows, in_on.data(), weights_on.data(),
                                                                      out_on.data(), kN, kK, DType::f32, true});
  const auto out = download<float>(out_on);
  for (std::int64_t row = 0; row < 12; ++row)
    for (std::int64_t n = 0; n < kN; ++n) {
      double want = 0;
      const std::int64_t group = row < 3 ? 0 : 2;
      for (std::int64_t k = 0; k < kK; ++k)
        want += double{in[at(row * kK + k)]} * weights[at((group * kK + k) * kN + n)];
      ASSERT_NEAR(out[at(row * kN + n)], want, 1e-4) << "row " << row;
    }
}

TEST_P(DeviceSuite, WeightGradSumsOverEachGroupsRows) {
  Random random(10, 11);
  const std::vector<std::int64_t> group_rows{3, 0, 9};
  constexpr std::int64_t kN = 40;
  constexpr std::int64_t kK = 24;
  const auto grad = kernels::random_floats(random, 12 * kN);
  const auto in = kernels::random_floats(random, 12 * kK);
  const Buffer grad_on = upload(grad);
  const Buffer in_on = upload(in);
  const Buffer out_on = uninitialised<float>(3 * kN * kK);
  for (const bool accumulate : {false, true}) {  // the second time adds as much again
    device_->launch(device_->compute_stream(),
                    kernels::WeightGradArgs{group_rows, grad_on.data(), in_on.data(), out_on.as<float>(), kN, kK,
                                            DType::f32, accumulate});
  }
  const auto out = download<float>(out_on);
  const std::int64_t first_row[] = {0, 3, 3, 12};
  for (std::int64_t group = 0; group < 3; ++group)
    for (std::int64_t n = 0; n < kN; ++n)
      for (std::int64_t k = 0; k < kK; ++k) {
        double want = 0;
        for (std::int64_t row = first_row[group]; row < first_row[group + 1]; ++row)
          want += 2 * double{grad[at(row * kN + n)]} * in[at(row * kK + k)];
        ASSERT_NEAR(out[at((group * kN + n) * kK + k)], want, 1e-4) << "group " << group;
      }
}

}  // namespace
}  // namespace ep::device
