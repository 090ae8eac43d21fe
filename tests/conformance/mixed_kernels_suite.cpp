// The kernels that take two element types, with the two that no layer of the tests combines.
#include <cstddef>
#include <vector>

#include "device_suite.hpp"
#include "tests/unit/kernels_fixture.hpp"

namespace ep::device {
namespace {

using core::BFloat16;
using core::DType;
using core::Random;

constexpr std::int32_t kHidden = 24;

std::vector<float> rounded(const std::vector<float>& values) {
  std::vector<float> near;
  for (const float value : values) near.push_back(core::to_float(core::to_bfloat16(value)));
  return near;
}

std::vector<BFloat16> narrowed(const std::vector<float>& values) {
  std::vector<BFloat16> narrow;
  for (const float value : values) narrow.push_back(core::to_bfloat16(value));
  return narrow;
}

TEST_P(DeviceSuite, RegroupNarrows) {
  Random random(11, 12);
  const std::vector<kernels::Segment> segments{{4, 0, 2}, {0, 2, 4}};
  const auto in = kernels::random_floats(random, 6 * kHidden);
  const Buffer in_on = upload(in);
  const Buffer segments_on = upload(segments);
  const Buffer out_on = uninitialised<BFloat16>(6 * kHidden);
  device_->launch(device_->compute_stream(), kernels::RegroupArgs{in_on.data(),
                                                                  out_on.data(),
                                                                  segments_on.as<kernels::Segment>(),
                                                                  2,
                                                                  6,
                                                                  kHidden,
                                                                  DType::f32,
                                                                  DType::bf16,
                                                                  {},
                                                                  nullptr});
  const auto out = download<BFloat16>(out_on);
  for (std::int64_t i = 0; i < 6 * kHidden; ++i)
    ASSERT_EQ(out[at(i)].bits, core::to_bfloat16(in[at((i + 4 * kHidden) % (6 * kHidden))]).bits) << i;
}

/// One copy a token, each at its own place: out = shared + weight * row.
TEST_P(DeviceSuite, ReduceTakesASharedExpertOfTheOtherType) {
  Random random(12, 13);
  constexpr std::int64_t kTokens = 5;
  const auto rows = rounded(kernels::random_floats(random, kTokens * kHidden));
  const auto shared = rounded(kernels::random_floats(random, kTokens * kHidden));
  const std::vector<std::int32_t> position{0, 1, 2, 3, 4};
  const std::vector<float> weights{1, 0.5F, -1, 2, 0.25F};
  const Buffer position_on = upload(position);
  const Buffer weights_on = upload(weights);
  const Buffer wide_rows = upload(rows);
  const Buffer wide_shared = upload(shared);
  const Buffer narrow_rows = upload(narrowed(rows));
  const Buffer narrow_shared = upload(narrowed(shared));
  const Buffer wide_out = uninitialised<float>(kTokens * kHidden);
  const Buffer narrow_out = uninitialised<BFloat16>(kTokens * kHidden);
  const auto reduce = [&](const Buffer& from, const Buffer& own, const Buffer& to, DType dtype, DType shared_dtype) {
    device_->launch(device_->compute_stream(),
                    kernels::ReduceArgs{from.data(), position_on.as<std::int32_t>(), weights_on.as<float>(), own.data(),
                                        to.data(), kTokens, 1, kHidden, dtype, shared_dtype});
  };
  reduce(wide_rows, narrow_shared, wide_out, DType::f32, DType::bf16);
  reduce(narrow_rows, wide_shared, narrow_out, DType::bf16, DType::f32);
  const auto wide = download<float>(wide_out);
  const auto narrow = download<BFloat16>(narrow_out);
  for (std::int64_t i = 0; i < kTokens * kHidden; ++i) {
    const float want = shared[at(i)] + weights[at(i / kHidden)] * rows[at(i)];
    ASSERT_NEAR(wide[at(i)], want, 1e-6) << i;
    ASSERT_NEAR(core::to_float(narrow[at(i)]), want, 1.0 / 64) << i;  // 8 bits of values below 3
  }
}

}  // namespace
}  // namespace ep::device
