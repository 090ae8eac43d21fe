#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include "core/error.hpp"
#include "kernels/regroup.hpp"
#include "kernels_fixture.hpp"

namespace ep::kernels {
namespace {

using core::DType;
using Regroup = BothStores;
INSTANTIATE_TEST_SUITE_P(, Regroup, testing::Bool(), name_of_stores);

template <class T>
constexpr DType kType = std::is_same_v<T, float> ? DType::f32 : DType::bf16;

void assign(float& to, float value) {
  to = value;
}
void assign(BFloat16& to, float value) {
  to = core::to_bfloat16(value);
}

template <class T>
std::vector<T> random_values(core::Random& random, std::int64_t count) {
  if constexpr (std::is_same_v<T, float>) {
    return random_floats(random, count);
  } else {
    return random_bf16(random, count);
  }
}

/// Arrival order to expert order: segment (source, slot) of a table of random counts.
std::vector<Segment> transpose_segments(core::Random& random, int ranks, int slots, std::int64_t& rows) {
  std::vector<Segment> segments(static_cast<std::size_t>(ranks * slots));
  rows = 0;
  for (auto& segment : segments) {
    segment.from = rows;
    segment.rows = below(random, 4);  // often none
    rows += segment.rows;
  }
  std::int64_t to = 0;
  for (int slot = 0; slot < slots; ++slot) {
    for (int rank = 0; rank < ranks; ++rank) {
      Segment& segment = segments[static_cast<std::size_t>(rank * slots + slot)];
      segment.to = to;
      to += segment.rows;
    }
  }
  return segments;
}

template <class In, class Out>
void check_regroup(std::uint64_t seed, int hidden) {
  core::Random random(seed, 5);
  std::int64_t rows = 0;
  const int ranks = 1 + below(random, 9);
  const auto segments = transpose_segments(random, ranks, 1 + below(random, 6), rows);
  const auto in = random_values<In>(random, rows * hidden);
  const std::int64_t own_begin = below(random, static_cast<int>(rows) + 1);  // any cut, also inside a segment
  const OwnRows own{own_begin, own_begin + below(random, static_cast<int>(rows - own_begin) + 1)};
  std::vector<Out> out(in.size());
  std::vector<Out> own_out(static_cast<std::size_t>((own.end - own.begin) * hidden));
  auto want_out = out;
  auto want_own = own_out;
  for (const Segment& segment : segments) {
    for (std::int64_t r = 0; r < segment.rows; ++r) {
      for (int c = 0; c < hidden; ++c) {
        const std::int64_t to = segment.to + r;
        const In value = in[static_cast<std::size_t>((segment.from + r) * hidden + c)];
        auto& target = own.contains(to) ? want_own[static_cast<std::size_t>((to - own.begin) * hidden + c)]
                                        : want_out[static_cast<std::size_t>(to * hidden + c)];
        assign(target, as_float(value));
      }
    }
  }
  regroup_cpu({in.data(), out.data(), segments.data(), static_cast<std::int64_t>(segments.size()), rows, hidden,
               kType<In>, kType<Out>, own, own_out.data()});
  const auto same = [](Out a, Out b) { return as_float(a) == as_float(b); };
  ASSERT_TRUE(std::equal(out.begin(), out.end(), want_out.begin(), same)) << "seed " << seed << " hidden " << hidden;
  ASSERT_TRUE(std::equal(own_out.begin(), own_out.end(), want_own.begin(), same)) << "seed " << seed;
}

TEST_P(Regroup, MovesAndConvertsOnRandomShapes) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    for (const int hidden : {1, 7, 64, 77, 2049}) {
      check_regroup<float, float>(seed, hidden);
      check_regroup<BFloat16, BFloat16>(seed, hidden);
      check_regroup<BFloat16, float>(seed, hidden);
      check_regroup<float, BFloat16>(seed, hidden);
    }
  }
}

TEST_P(Regroup, NoRowsTouchesNothing) {
  regroup_cpu({nullptr, nullptr, nullptr, 0, 0, 64, DType::bf16, DType::f32, {}, nullptr});
}

TEST_P(Regroup, RoundsToNearestEvenAndKeepsSpecialValues) {
  const float inf = std::numeric_limits<float>::infinity();
  // 1 + 2^-8 and 1 + 3 * 2^-8 lie half-way between bf16 neighbours.
  const std::vector<float> in{0x1.01p0F, 0x1.03p0F, 0x1.0101p0F, -0x1.03p0F, inf, -inf, 3.4e38F, -0.0F, 1e-40F, NAN};
  std::vector<BFloat16> out(in.size());
  const auto count = static_cast<std::int32_t>(in.size());
  const Segment segment{0, 0, 1};
  regroup_cpu({in.data(), out.data(), &segment, 1, 1, count, DType::f32, DType::bf16, {}, nullptr});
  const std::vector<float> want{0x1.00p0F, 0x1.04p0F, 0x1.02p0F, -0x1.04p0F, inf, -inf, inf, -0.0F};
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_EQ(core::to_float(out[i]), want[i]) << in[i];
  EXPECT_TRUE(std::signbit(core::to_float(out[7])));
  EXPECT_EQ(out[8].bits, core::to_bfloat16(1e-40F).bits) << "subnormal";
  EXPECT_TRUE(std::isnan(core::to_float(out[9])));
}

TEST_P(Regroup, RefusesToWriteFp8) {
  EXPECT_THROW(regroup_cpu({nullptr, nullptr, nullptr, 0, 0, 64, DType::e4m3, DType::e4m3, {}, nullptr}), core::Error);
  EXPECT_THROW(regroup_cpu({nullptr, nullptr, nullptr, 0, 0, 64, DType::bf16, DType::e4m3, {}, nullptr}), core::Error);
}

}  // namespace
}  // namespace ep::kernels
