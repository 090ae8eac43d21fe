// Every kernel of a device against the plain loop that says what it means.
#include <cmath>
#include <cstddef>
#include <cstring>

#include "device_suite.hpp"
#include "tests/unit/kernels_fixture.hpp"

namespace ep::device {
namespace {

using core::BFloat16;
using core::DType;
using core::Random;

std::vector<float> as_floats(const std::vector<BFloat16>& values) {
  std::vector<float> floats;
  for (const BFloat16 value : values) floats.push_back(core::to_float(value));
  return floats;
}

TEST_P(DeviceSuite, PackCopiesRowsAndSetsTheOwnApart) {
  Random random(1, 2);
  constexpr std::int64_t kTokens = 300;
  constexpr int kTopk = 4;
  constexpr std::int64_t kRowBytes = 208;
  const auto ids = kernels::random_experts(random, kTokens, kTopk, 8);
  const auto position = kernels::bucket_positions(ids, {0, 1, 2, 3, 4, 5, 6, 7}, 8);
  const std::int64_t copies = 1 + *std::max_element(position.begin(), position.end());
  const kernels::OwnRows own{copies / 3, copies / 2};
  const auto tokens = kernels::random_bytes(random, kTokens * kRowBytes);
  std::vector<std::byte> send(at(copies * kRowBytes), std::byte{0xEE});
  std::vector<std::byte> own_out(at((own.end - own.begin) * kRowBytes));
  for (std::int64_t copy = 0; copy < kTokens * kTopk; ++copy) {
    const std::int64_t row = position[at(copy)];
    if (row < 0) continue;
    std::byte* const to = own.contains(row) ? &own_out[at((row - own.begin) * kRowBytes)] : &send[at(row * kRowBytes)];
    std::memcpy(to, &tokens[at(copy / kTopk * kRowBytes)], kRowBytes);
  }

  const Buffer tokens_on = upload(tokens);
  const Buffer position_on = upload(position);
  const Buffer send_on = uninitialised<std::byte>(copies * kRowBytes);
  const Buffer own_on = uninitialised<std::byte>((own.end - own.begin) * kRowBytes);
  device_->launch(device_->compute_stream(),
                  kernels::PackArgs{tokens_on.data(), position_on.as<std::int32_t>(), kTokens, kTopk, kRowBytes,
                                    send_on.data(), own, own_on.data()});
  const auto sent = download<std::byte>(send_on);
  for (std::int64_t row = 0; row < copies; ++row) {
    if (own.contains(row)) continue;  // unused places hold anything
    ASSERT_EQ(std::memcmp(&sent[at(row * kRowBytes)], &send[at(row * kRowBytes)], kRowBytes), 0) << "row " << row;
  }
  EXPECT_EQ(download<std::byte>(own_on), own_out);
}

TEST_P(DeviceSuite, RegroupMovesSegmentsAndConverts) {
  Random random(2, 3);
  constexpr std::int32_t kHidden = 40;
  // Arrival order (3 ranks x 2 experts) to expert order: rows of expert 0 from every rank, then of expert 1.
  const std::vector<kernels::Segment> segments{{0, 0, 5}, {15, 5, 9}, {5, 14, 7}, {12, 21, 3}, {24, 24, 1}};
  constexpr std::int64_t kRows = 25;
  const auto in = kernels::random_bf16(random, kRows * kHidden);
  const auto wide = as_floats(in);
  std::vector<float> expected(at(kRows * kHidden));
  for (const kernels::Segment& segment : segments)
    for (std::int64_t i = 0; i < segment.rows * kHidden; ++i)
      expected[at(segment.to * kHidden + i)] = wide[at(segment.from * kHidden + i)];

  const Buffer in_on = upload(in);
  const Buffer segments_on = upload(segments);
  const Buffer out_on = uninitialised<float>(kRows * kHidden);
  device_->launch(device_->compute_stream(), kernels::RegroupArgs{in_on.data(),
                                                                  out_on.data(),
                                                                  segments_on.as<kernels::Segment>(),
                                                                  static_cast<std::int64_t>(segments.size()),
                                                                  kRows,
                                                                  kHidden,
                                                                  DType::bf16,
                                                                  DType::f32,
                                                                  {},
                                                                  nullptr});
  EXPECT_EQ(download<float>(out_on), expected);
}

/// Rows of `values` as their definition has them, and what comes of them.
struct Fp8Rows {
  std::vector<std::byte> bytes;
  std::vector<float> values;
};
Fp8Rows fp8_rows(const std::vector<float>& values, std::int32_t hidden) {
  const std::int64_t tokens = std::ssize(values) / hidden;
  Fp8Rows rows{std::vector<std::byte>(at(tokens * kernels::e4m3_row_bytes(hidden))), {}};
  for (std::int64_t token = 0; token < tokens; ++token) {
    std::byte* const row = &rows.bytes[at(token * kernels::e4m3_row_bytes(hidden))];
    for (std::int64_t first = 0; first < hidden; first += kernels::kScaleBlock) {
      const std::int64_t end = std::min<std::int64_t>(hidden, first + kernels::kScaleBlock);
      float amax = 0;
      for (std::int64_t i = first; i < end; ++i) amax = std::max(amax, std::abs(values[at(token * hidden + i)]));
      const float scale = kernels::e4m3_scale(amax);
      std::memcpy(row + kernels::scale_offset(hidden, first / kernels::kScaleBlock), &scale, sizeof(scale));
      for (std::int64_t i = first; i < end; ++i) {
        const kernels::E4m3 element = kernels::to_e4m3(values[at(token * hidden + i)] * (1 / scale));
        row[i] = static_cast<std::byte>(element.bits);
        rows.values.push_back(kernels::to_float(element) * scale);
      }
    }
  }
  return rows;
}

TEST_P(DeviceSuite, QuantiseWritesFp8Rows) {
  Random random(7, 8);
  constexpr std::int64_t kTokens = 21;
  for (const std::int32_t hidden : {16, 128, 144, 1168}) {  // less than a block, one, one and some, several slices
    auto wide = kernels::random_floats(random, kTokens * hidden);
    for (std::size_t i = 0; i < wide.size(); i += 3) wide[i] *= 1e-4F;  // down to subnormal codes
    std::fill_n(wide.begin(), hidden, 0.0F);
    const auto narrow = kernels::random_bf16(random, kTokens * hidden);
    const Buffer wide_on = upload(wide);
    const Buffer narrow_on = upload(narrow);
    const Buffer rows_on = uninitialised<std::byte>(kTokens * kernels::e4m3_row_bytes(hidden));
    device_->launch(device_->compute_stream(),
                    kernels::QuantiseArgs{wide_on.data(), rows_on.data(), kTokens, hidden, DType::f32});
    EXPECT_EQ(download<std::byte>(rows_on), fp8_rows(wide, hidden).bytes) << hidden;
    device_->launch(device_->compute_stream(),
                    kernels::QuantiseArgs{narrow_on.data(), rows_on.data(), kTokens, hidden, DType::bf16});
    EXPECT_EQ(download<std::byte>(rows_on), fp8_rows(as_floats(narrow), hidden).bytes) << hidden;
  }
}

TEST_P(DeviceSuite, QuantisedSpecialValuesAreNoSurprise) {
  constexpr std::int32_t kHidden = 384;
  std::vector<float> tokens(at(kHidden), 1.0F);
  tokens[5] = NAN;
  tokens[130] = INFINITY;
  const Buffer tokens_on = upload(tokens);
  const Buffer rows_on = uninitialised<std::byte>(kernels::e4m3_row_bytes(kHidden));
  device_->launch(device_->compute_stream(),
                  kernels::QuantiseArgs{tokens_on.data(), rows_on.data(), 1, kHidden, DType::f32});
  const auto row = download<std::byte>(rows_on);
  for (std::size_t i = 0; i < at(kHidden); ++i) {
    const int wanted = i == 5 || i == 130 ? 0x7f : i / 128 == 1 ? 0 : 0x7e;  // NaN, finite / infinity, the largest
    ASSERT_EQ(static_cast<int>(row[i]), wanted) << i;
  }
}

TEST_P(DeviceSuite, RegroupDequantises) {
  Random random(8, 9);
  const std::vector<kernels::Segment> segments{{2, 0, 3}, {0, 3, 2}, {5, 5, 1}};
  const std::vector<std::int64_t> source{2, 3, 4, 0, 1, 5};
  constexpr kernels::OwnRows kOwn{1, 3};
  const Buffer segments_on = upload(segments);
  for (const std::int32_t hidden : {16, 144, 1168}) {
    const Fp8Rows rows = fp8_rows(kernels::random_floats(random, 6 * hidden), hidden);
    const Buffer in_on = upload(rows.bytes);
    const Buffer wide_on = uninitialised<float>(6 * hidden);
    const Buffer narrow_on = uninitialised<BFloat16>(6 * hidden);
    const Buffer own_on = uninitialised<BFloat16>(2 * hidden);
    kernels::RegroupArgs args{
        in_on.data(), wide_on.data(), segments_on.as<kernels::Segment>(), 3, 6, hidden, DType::e4m3, DType::f32,
        {},           nullptr};
    device_->launch(device_->compute_stream(), args);
    args.out = narrow_on.data();
    args.out_dtype = DType::bf16;
    args.own = kOwn;
    args.own_out = own_on.data();
    device_->launch(device_->compute_stream(), args);
    const auto wide = download<float>(wide_on);
    const auto narrow = as_floats(download<BFloat16>(narrow_on));
    const auto own = as_floats(download<BFloat16>(own_on));
    for (std::int64_t i = 0; i < 6 * hidden; ++i) {
      const std::int64_t row = i / hidden;
      const float wanted = rows.values[at(source[at(row)] * hidden + i % hidden)];
      ASSERT_EQ(wide[at(i)], wanted) << hidden << ", " << i;
      const float got = kOwn.contains(row) ? own[at(i - kOwn.begin * hidden)] : narrow[at(i)];
      ASSERT_EQ(got, core::to_float(core::to_bfloat16(wanted))) << hidden << ", " << i;
    }
  }
}

TEST_P(DeviceSuite, SwigluIsSiluOfGateTimesUp) {
  Random random(3, 4);
  constexpr std::int64_t kRows = 33;
  constexpr std::int32_t kFfn = 72;
  const auto gate_up = kernels::random_bf16(random, kRows * 2 * kFfn);
  const auto wide = as_floats(gate_up);
  const Buffer in_on = upload(gate_up);
  const Buffer out_on = uninitialised<BFloat16>(kRows * kFfn);
  device_->launch(device_->compute_stream(),
                  kernels::SwigluArgs{in_on.data(), out_on.data(), kRows, kFfn, DType::bf16});
  const auto out = as_floats(download<BFloat16>(out_on));
  for (std::int64_t row = 0; row < kRows; ++row)
    for (std::int64_t i = 0; i < kFfn; ++i) {
      const double gate = wide[at(row * 2 * kFfn + i)];
      const double want = gate / (1 + std::exp(-gate)) * wide[at(row * 2 * kFfn + kFfn + i)];
      ASSERT_NEAR(out[at(row * kFfn + i)], want, std::abs(want) / 128 + 1e-6) << row << ", " << i;  // 8 bits of bf16
    }
}

TEST_P(DeviceSuite, ReduceWeighsAndAdds) {
  Random random(4, 5);
  constexpr std::int64_t kTokens = 100;
  constexpr std::int32_t kTopk = 4;
  constexpr std::int32_t kHidden = 48;
  const auto ids = kernels::random_experts(random, kTokens, kTopk, 8);
  const auto position = kernels::bucket_positions(ids, {0, 1, 2, 3, 4, 5, 6, 7}, 8);
  const std::int64_t copies = 1 + *std::max_element(position.begin(), position.end());
  const auto rows = kernels::random_floats(random, copies * kHidden);
  const auto weights = kernels::random_floats(random, kTokens * kTopk);
  const auto shared = kernels::random_floats(random, kTokens * kHidden);
  const Buffer rows_on = upload(rows);
  const Buffer position_on = upload(position);
  const Buffer weights_on = upload(weights);
  const Buffer shared_on = upload(shared);
  const Buffer out_on = uninitialised<float>(kTokens * kHidden);
  device_->launch(
      device_->compute_stream(),
      kernels::ReduceArgs{rows_on.data(), position_on.as<std::int32_t>(), weights_on.as<float>(), shared_on.data(),
                          out_on.data(), kTokens, kTopk, kHidden, DType::f32, DType::f32});
  const auto out = download<float>(out_on);
  for (std::int64_t token = 0; token < kTokens; ++token)
    for (std::int64_t i = 0; i < kHidden; ++i) {
      double want = shared[at(token * kHidden + i)];
      for (std::int64_t k = token * kTopk; k < (token + 1) * kTopk; ++k)
        if (position[at(k)] >= 0) want += double{weights[at(k)]} * rows[at(position[at(k)] * kHidden + i)];
      ASSERT_NEAR(out[at(token * kHidden + i)], want, 1e-5) << "token " << token;
    }
}

TEST_P(DeviceSuite, GroupedGemmUsesEachGroupsWeights) {
  Random random(5, 6);
  const std::vector<std::int64_t> group_rows{5, 0, 17, 1};
  constexpr std::int64_t kN = 24;
  constexpr std::int64_t kK = 40;
  const auto in = kernels::random_floats(random, 23 * kK);
  const auto weights = kernels::random_floats(random, 4 * kN * kK);
  const Buffer in_on = upload(in);
  const Buffer weights_on = upload(weights);
  const Buffer out_on = uninitialised<float>(23 * kN);
  device_->launch(device_->compute_stream(), kernels::GroupedGemmArgs{group_rows, in_on.data(), weights_on.data(),
                                                                      out_on.data(), kN, kK, DType::f32});
  const auto out = download<float>(out_on);
  std::int64_t row = 0;
  for (std::int64_t group = 0; group < 4; ++group)
    for (std::int64_t r = 0; r < group_rows[at(group)]; ++r, ++row)
      for (std::int64_t n = 0; n < kN; ++n) {
        double want = 0;
        for (std::int64_t k = 0; k < kK; ++k)
          want += double{in[at(row * kK + k)]} * weights[at((group * kN + n) * kK + k)];
        ASSERT_NEAR(out[at(row * kN + n)], want, 1e-4) << "row " << row;
      }
}

}  // namespace
}  // namespace ep::device
