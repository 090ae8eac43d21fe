#include <cmath>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "core/error.hpp"
#include "kernels/gemm.hpp"
#include "kernels_fixture.hpp"

namespace ep::kernels {
namespace {

using core::DType;

void check_gemm(std::uint64_t seed) {
  core::Random random(seed, 9);
  std::vector<std::int64_t> group_rows;
  std::int64_t rows = 0;
  for (int groups = 1 + below(random, 6); groups > 0; --groups) {
    group_rows.push_back(below(random, 3) == 0 ? 0 : below(random, 20));
    rows += group_rows.back();
  }
  const std::int64_t n = 1 + below(random, 40);
  const std::int64_t k = 1 + below(random, 60);
  const auto in = random_floats(random, rows * k);
  const auto weights = random_floats(random, static_cast<std::int64_t>(group_rows.size()) * n * k);
  std::vector<float> out(static_cast<std::size_t>(rows * n), NAN);  // what was there must not be read
  grouped_gemm_cpu({group_rows, in.data(), weights.data(), out.data(), n, k, DType::f32});

  std::int64_t row = 0;
  for (std::size_t group = 0; group < group_rows.size(); ++group) {
    for (std::int64_t r = 0; r < group_rows[group]; ++r, ++row) {
      for (std::int64_t c = 0; c < n; ++c) {
        double want = 0;
        for (std::int64_t i = 0; i < k; ++i) {
          want += double{in[static_cast<std::size_t>(row * k + i)]} *
                  weights[static_cast<std::size_t>((static_cast<std::int64_t>(group) * n + c) * k + i)];
        }
        ASSERT_NEAR(out[static_cast<std::size_t>(row * n + c)], want, 1e-5) << "seed " << seed << " row " << row;
      }
    }
  }
}

TEST(GroupedGemm, MultipliesEachGroupByItsOwnWeightsTransposed) {
  set_gemm_threads(1);
  for (std::uint64_t seed = 0; seed < 25; ++seed) check_gemm(seed);
}

TEST(GroupedGemm, NoRowsTouchesNothing) {
  const std::vector<std::int64_t> group_rows{0, 0};
  const std::vector<float> weights(2 * 8 * 8);
  grouped_gemm_cpu({group_rows, nullptr, weights.data(), nullptr, 8, 8, DType::f32});
}

TEST(GroupedGemm, RefusesWhatTheBlasCannotDo) {
  const std::vector<std::int64_t> few{1};
  const std::vector<std::int64_t> many{std::int64_t{1} << 31};
  EXPECT_THROW(grouped_gemm_cpu({many, nullptr, nullptr, nullptr, 8, 8, DType::f32}), core::Error);
  EXPECT_THROW(grouped_gemm_cpu({few, nullptr, nullptr, nullptr, std::int64_t{1} << 31, 8, DType::f32}), core::Error);
  EXPECT_THROW(grouped_gemm_cpu({few, nullptr, nullptr, nullptr, 8, std::int64_t{1} << 31, DType::f32}), core::Error);
  EXPECT_THROW(grouped_gemm_cpu({few, nullptr, nullptr, nullptr, 8, 8, DType::bf16}), core::Error);
}

}  // namespace
}  // namespace ep::kernels
