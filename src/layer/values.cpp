#include "layer/values.hpp"

#include <algorithm>
#include <cmath>

#include "core/random.hpp"
#include "kernels/e4m3.hpp"

namespace ep::layer {

namespace {

constexpr std::uint64_t kTokenStream = 1;
constexpr std::uint64_t kWeightStream = 2;
constexpr std::uint64_t kOutputGradStream = 3;

/// Uniform values in (-half_width, half_width): variance half_width^2 / 3.
void fill_uniform(core::Random random, double half_width, bool round_to_bf16, std::span<float> out) {
  for (float& value : out) {
    value = static_cast<float>((2 * random.uniform() - 1) * half_width);
    if (round_to_bf16) value = core::to_float(core::to_bfloat16(value));
  }
}

}  // namespace

void fill_weights(const ValueSource& source, Matrix matrix, std::int64_t expert, std::int64_t k, std::span<float> out) {
  const auto stream = static_cast<std::uint64_t>((expert + 1) * 2 + (matrix == Matrix::down ? 1 : 0));
  fill_uniform(core::Random(core::mix64(source.seed + kWeightStream), stream), std::sqrt(3.0 / static_cast<double>(k)),
               source.round_to_bf16, out);
}

void fill_token(const ValueSource& source, std::int64_t token, std::span<float> out, TokenValue value) {
  const std::uint64_t stream = value == TokenValue::hidden_state ? kTokenStream : kOutputGradStream;
  fill_uniform(core::Random(core::mix64(source.seed + stream), static_cast<std::uint64_t>(token)), std::sqrt(3.0),
               source.round_to_bf16, out);
}

void travel(core::DType dispatch, std::span<float> values) {
  if (dispatch != core::DType::e4m3) return;
  for (std::size_t first = 0; first < values.size(); first += kernels::kScaleBlock) {
    const auto block = values.subspan(first, std::min<std::size_t>(kernels::kScaleBlock, values.size() - first));
    float amax = 0;
    for (const float value : block) amax = std::max(amax, std::abs(value));
    const float scale = kernels::e4m3_scale(amax);
    for (float& value : block) value = kernels::to_float(kernels::to_e4m3(value * (1 / scale))) * scale;
  }
}

}  // namespace ep::layer
