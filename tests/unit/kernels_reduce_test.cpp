#include <vector>

#include <gtest/gtest.h>

#include "core/error.hpp"
#include "kernels/reduce.hpp"
#include "kernels_fixture.hpp"

namespace ep::kernels {
namespace {

using core::DType;
using Reduce = BothStores;
INSTANTIATE_TEST_SUITE_P(, Reduce, testing::Bool(), name_of_stores);

enum class Shared { none, f32, bf16 };

/// Sums that are exactly the scalar loop's: same order, one rounding after each product and each sum.
void check_reduce(std::uint64_t seed, int hidden, DType dtype, Shared shared_kind) {
  core::Random random(seed, 8);
  const std::int64_t tokens = below(random, 8);
  const int topk = 1 + below(random, 9);
  const auto ids = random_experts(random, tokens, topk, 16);
  std::vector<std::int32_t> own_bucket(16);
  for (std::int32_t e = 0; e < 16; ++e) own_bucket[static_cast<std::size_t>(e)] = e;
  const auto position = bucket_positions(ids, own_bucket, 16);
  const auto weights = random_floats(random, tokens * topk);
  const auto rows_bf16 = random_bf16(random, tokens * topk * hidden);
  const auto shared_bf16 = random_bf16(random, tokens * hidden);
  std::vector<float> rows_f32;
  std::vector<float> shared_f32;
  for (const auto value : rows_bf16) rows_f32.push_back(core::to_float(value));
  for (const auto value : shared_bf16) shared_f32.push_back(core::to_float(value));

  const bool wide = dtype == DType::f32;
  std::vector<float> out_f32(static_cast<std::size_t>(tokens * hidden), 99.0F);
  std::vector<BFloat16> out_bf16(out_f32.size());
  ReduceArgs args{};
  args.rows = wide ? static_cast<const void*>(rows_f32.data()) : rows_bf16.data();
  args.position = position.data();
  args.weights = weights.data();
  args.shared_dtype = shared_kind == Shared::bf16 ? DType::bf16 : DType::f32;
  if (shared_kind == Shared::f32) args.shared = shared_f32.data();
  if (shared_kind == Shared::bf16) args.shared = shared_bf16.data();
  args.out = wide ? static_cast<void*>(out_f32.data()) : out_bf16.data();
  args.tokens = tokens;
  args.topk = topk;
  args.hidden = hidden;
  args.dtype = dtype;
  reduce_cpu(args);

  for (std::int64_t t = 0; t < tokens; ++t) {
    for (int c = 0; c < hidden; ++c) {
      const auto at = static_cast<std::size_t>(t * hidden + c);
      float sum = shared_kind == Shared::none ? 0.0F : shared_f32[at];
      for (int k = 0; k < topk; ++k) {
        const auto slot = static_cast<std::size_t>(t * topk + k);
        if (position[slot] >= 0) sum += weights[slot] * rows_f32[static_cast<std::size_t>(position[slot] * hidden + c)];
      }
      if (wide) {
        ASSERT_EQ(out_f32[at], sum) << "seed " << seed << " token " << t << " column " << c;
      } else {
        ASSERT_EQ(out_bf16[at].bits, core::to_bfloat16(sum).bits) << "seed " << seed << " token " << t;
      }
    }
  }
}

TEST_P(Reduce, IsTheScalarSumBitForBit) {
  for (std::uint64_t seed = 0; seed < 20; ++seed)
    for (const int hidden : {1, 5, 64, 333, 2050})
      for (const DType dtype : {DType::f32, DType::bf16})
        for (const Shared shared : {Shared::none, Shared::f32, Shared::bf16}) check_reduce(seed, hidden, dtype, shared);
}

TEST_P(Reduce, TokenWithoutCopiesIsItsSharedPart) {
  const std::vector<std::int32_t> position(2, -1);
  const std::vector<float> weights(2, 1.0F);
  const std::vector<float> shared{1, 2, 3};
  std::vector<float> out(3, 99.0F);
  reduce_cpu({nullptr, position.data(), weights.data(), shared.data(), out.data(), 1, 2, 3, DType::f32, DType::f32});
  EXPECT_EQ(out, shared);
  reduce_cpu({nullptr, position.data(), weights.data(), nullptr, out.data(), 1, 2, 3, DType::f32, DType::f32});
  EXPECT_EQ(out, (std::vector<float>{0, 0, 0}));
}

TEST_P(Reduce, RefusesFp8) {
  EXPECT_THROW(reduce_cpu({nullptr, nullptr, nullptr, nullptr, nullptr, 0, 1, 8, DType::e4m3, DType::f32}),
               core::Error);
}

}  // namespace
}  // namespace ep::kernels
