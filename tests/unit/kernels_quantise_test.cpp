// fp8: what its codes mean, how values round to them, and rows written and read back.
#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include "core/error.hpp"
#include "kernels/quantise.hpp"
#include "kernels/regroup.hpp"
#include "kernels_fixture.hpp"

namespace ep::kernels {
namespace {

using core::DType;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// From the definition: sign, 4 bits of exponent with bias 7, 3 bits of mantissa.
double value_of(int code) {
  const int exponent = code >> 3 & 15;
  const int mantissa = code & 7;
  const double size = exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return (code & 0x80) != 0 ? -size : size;
}

/// The code of the nearest value, of two as near the even one.
int nearest_code(float value) {
  if (std::isnan(value)) return 0x7f;
  int best = 0;
  const double size = std::min(std::abs(double{value}), 1e6);
  for (int code = 1; code <= 0x7e; ++code) {
    const double nearer = std::abs(value_of(best) - size) - std::abs(value_of(code) - size);
    if (nearer > 0 || (nearer == 0 && code % 2 == 0)) best = code;
  }
  return best | (std::signbit(value) ? 0x80 : 0);
}

TEST(E4m3Code, IsTheValueItStandsFor) {
  for (int code = 0; code < 256; ++code) {
    const float value = to_float(E4m3{static_cast<std::uint8_t>(code)});
    if ((code & 0x7f) == 0x7f) {
      EXPECT_TRUE(std::isnan(value)) << code;
      EXPECT_EQ(to_e4m3(value).bits, 0x7f);
      continue;
    }
    EXPECT_EQ(double{value}, value_of(code)) << code;
    EXPECT_EQ(std::signbit(value), code >= 0x80) << code;
    EXPECT_EQ(to_e4m3(value).bits, code);
  }
}

TEST(E4m3Code, TiesGoToTheEvenOfTwoNeighbours) {
  for (int code = 0; code < 0x7e; ++code) {
    const auto middle = static_cast<float>((value_of(code) + value_of(code + 1)) / 2);
    for (const float sign : {1.0F, -1.0F}) {
      const int sign_bit = sign < 0 ? 0x80 : 0;
      EXPECT_EQ(to_e4m3(sign * std::nextafter(middle, 0.0F)).bits, sign_bit | code);
      EXPECT_EQ(to_e4m3(sign * middle).bits, sign_bit | (code % 2 == 0 ? code : code + 1));
      EXPECT_EQ(to_e4m3(sign * std::nextafter(middle, 1e9F)).bits, sign_bit | (code + 1));
    }
  }
}

TEST(E4m3Code, LargeValuesSaturate) {
  for (const float large : {448.0F, 463.9F, 464.0F, 464.1F, 480.0F, 512.0F, 1e30F, 3.4e38F, kInfinity}) {
    EXPECT_EQ(to_e4m3(large).bits, 0x7e) << large;
    EXPECT_EQ(to_e4m3(-large).bits, 0xfe) << large;
  }
}

TEST(E4m3Code, IsTheNearestToAnyValue) {
  for (std::uint64_t bits = 0; bits < (1ULL << 32); bits += 65521) {  // every exponent, some 128 mantissas of each
    const auto value = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    ASSERT_EQ(to_e4m3(value).bits, nearest_code(value)) << value;
  }
}

TEST(E4m3Scale, MapsTheLargestTo448AndZerosToThemselves) {
  EXPECT_EQ(e4m3_scale(448), 1.0F);
  EXPECT_EQ(e4m3_scale(1), 1.0F / 448);
  EXPECT_EQ(e4m3_scale(0), 1.0F);
  EXPECT_EQ(e4m3_scale(0x1p-126F), 1.0F) << "its quotient has lost bits, and 1 / scale would be infinite";
  EXPECT_EQ(e4m3_scale(448 * 0x1p-126F), 0x1p-126F);
}

TEST(E4m3Row, HoldsElementsThenScalesPaddedTo16Bytes) {
  EXPECT_EQ(e4m3_row_bytes(1), 16);
  EXPECT_EQ(e4m3_row_bytes(12), 16);
  EXPECT_EQ(e4m3_row_bytes(13), 32);
  EXPECT_EQ(e4m3_row_bytes(128), 144);
  EXPECT_EQ(e4m3_row_bytes(129), 144);  // 129 + 8 = 137
  EXPECT_EQ(e4m3_row_bytes(7168), 7168 + 4 * 56);
  EXPECT_EQ(scale_offset(7168, 3), 7168 + 12);
}

using Quantise = BothStores;
INSTANTIATE_TEST_SUITE_P(, Quantise, testing::Bool(), name_of_stores);

template <class T>
std::vector<std::byte> quantised(const std::vector<T>& tokens, std::int32_t hidden) {
  const auto count = static_cast<std::int64_t>(tokens.size()) / hidden;
  std::vector<std::byte> rows(static_cast<std::size_t>(count * e4m3_row_bytes(hidden)), std::byte{0xEE});
  quantise_cpu({tokens.data(), rows.data(), count, hidden, std::is_same_v<T, float> ? DType::f32 : DType::bf16});
  return rows;
}

/// Rows as their definition has them.
template <class T>
std::vector<std::byte> wanted_rows(const std::vector<T>& tokens, std::int32_t hidden) {
  std::vector<std::byte> rows;
  for (std::size_t token = 0; token < tokens.size(); token += static_cast<std::size_t>(hidden)) {
    std::vector<float> scales;
    for (std::size_t i = 0; i < static_cast<std::size_t>(hidden); ++i) {
      if (i % 128 == 0) {
        float amax = 0;
        for (std::size_t j = i; j < std::min(i + 128, static_cast<std::size_t>(hidden)); ++j)
          amax = std::max(amax, std::abs(as_float(tokens[token + j])));
        scales.push_back(amax == 0 ? 1.0F : amax / 448);
      }
      rows.push_back(static_cast<std::byte>(nearest_code(as_float(tokens[token + i]) * (1 / scales.back()))));
    }
    const auto* const bytes = reinterpret_cast<const std::byte*>(scales.data());
    rows.insert(rows.end(), bytes, bytes + scales.size() * sizeof(float));
    rows.resize((rows.size() + 15) / 16 * 16);
  }
  return rows;
}

TEST_P(Quantise, WritesRowsOfAnyShape) {
  core::Random random(11, 1);
  for (const std::int32_t hidden : {1, 2, 13, 64, 127, 128, 129, 400}) {
    for (const std::int64_t count : {0, 1, 3}) {
      auto tokens = random_floats(random, count * hidden);
      const auto narrow = random_bf16(random, count * hidden);
      for (std::size_t i = 0; i < tokens.size(); i += 5) tokens[i] *= 1e-4F;  // down to subnormal codes
      EXPECT_EQ(quantised(tokens, hidden), wanted_rows(tokens, hidden)) << hidden;
      EXPECT_EQ(quantised(narrow, hidden), wanted_rows(narrow, hidden)) << hidden;
    }
  }
}

/// There and back, through a regroup of one segment.
template <class Out>
std::vector<float> dequantised(const std::vector<std::byte>& rows, std::int32_t hidden) {
  const std::int64_t count = static_cast<std::int64_t>(rows.size()) / e4m3_row_bytes(hidden);
  const Segment segment{0, 0, count};
  std::vector<Out> out(static_cast<std::size_t>(count * hidden));
  const DType dtype = std::is_same_v<Out, float> ? DType::f32 : DType::bf16;
  regroup_cpu({rows.data(), out.data(), &segment, 1, count, hidden, DType::e4m3, dtype, {}, nullptr});
  std::vector<float> values;
  for (const Out value : out) values.push_back(as_float(value));
  return values;
}

TEST_P(Quantise, ComesBackWithinHalfAStep) {
  core::Random random(12, 1);
  for (const std::int32_t hidden : {1, 100, 128, 300}) {
    const auto tokens = random_floats(random, 4 * hidden);
    const auto rows = quantised(tokens, hidden);
    const auto wide = dequantised<float>(rows, hidden);
    const auto narrow = dequantised<BFloat16>(rows, hidden);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      // 3 bits of mantissa; steps of 2^-9 of a scale of at most 1 / 448 below.
      ASSERT_NEAR(wide[i], tokens[i], std::max(std::abs(tokens[i]) * 0x1p-4F, 0x1p-10F / 448) * 1.0001F);
      ASSERT_EQ(narrow[i], core::to_float(core::to_bfloat16(wide[i])));
    }
  }
}

TEST_P(Quantise, ZerosAndWhatIsAsGoodAsZeroComeBackAsZeros) {
  std::vector<float> tokens(300, 0.0F);
  for (std::size_t i = 128; i < 256; ++i) tokens[i] = 1e-40F;
  for (const float value : dequantised<float>(quantised(tokens, 300), 300)) EXPECT_EQ(value, 0.0F);
}

TEST_P(Quantise, ANaNStaysOneAndAnInfinityTakesItsBlockAlong) {
  std::vector<float> tokens(384, 1.0F);
  tokens[5] = std::numeric_limits<float>::quiet_NaN();
  tokens[130] = -kInfinity;
  const auto back = dequantised<float>(quantised(tokens, 384), 384);
  for (std::size_t i = 0; i < back.size(); ++i) {
    if (i == 5 || i / 128 == 1) {
      EXPECT_TRUE(std::isnan(back[i])) << i;
    } else {
      EXPECT_EQ(back[i], 448 * (1.0F / 448)) << i;
    }
  }
}

TEST_P(Quantise, RefusesFp8) {
  EXPECT_THROW(quantise_cpu({nullptr, nullptr, 0, 8, DType::e4m3}), core::Error);
}

/// Segments in another order, and a cut of own rows through one of them.
TEST_P(Quantise, RegroupMovesTheRowsItDequantises) {
  core::Random random(13, 1);
  constexpr std::int32_t kHidden = 145;
  const auto rows = quantised(random_floats(random, 6 * kHidden), kHidden);
  const auto in_place = dequantised<float>(rows, kHidden);
  const std::vector<Segment> segments{{4, 0, 2}, {0, 2, 3}, {3, 5, 1}};
  const std::vector<std::size_t> source{4, 5, 0, 1, 2, 3};
  std::vector<float> out(in_place.size());
  std::vector<float> own_out(std::size_t{2} * kHidden);
  regroup_cpu(
      {rows.data(), out.data(), segments.data(), 3, 6, kHidden, DType::e4m3, DType::f32, {1, 3}, own_out.data()});
  for (std::size_t row = 0; row < 6; ++row) {
    const float* const got = row == 1 || row == 2 ? &own_out[(row - 1) * kHidden] : &out[row * kHidden];
    EXPECT_TRUE(std::equal(got, got + kHidden, &in_place[source[row] * kHidden])) << row;
  }
}

}  // namespace
}  // namespace ep::kernels
