#pragma once
#include <cstdint>
#include <span>

#include "core/dtype.hpp"

namespace ep::layer {

/// Which weight matrix of an expert; the shared expert is one more expert with id kSharedExpert.
enum class Matrix : std::uint8_t { gate_up, down };
constexpr std::int64_t kSharedExpert = -1;

/// What every value of the layer is a pure function of, so that any rank can make any expert's weights and check any
/// result against them.
struct ValueSource {
  std::uint64_t seed = 0;
  bool round_to_bf16 = false;  // values a bf16 payload can hold, so that rounding inputs is not an error
};

/// Fills one expert's matrix [n, k], row-major, with zero-mean values of variance 1 / k: activations keep their scale.
void fill_weights(const ValueSource& source, Matrix matrix, std::int64_t expert, std::int64_t k, std::span<float> out);

/// What a token brings into the layer: forward its hidden state, backward the gradient of its output.
enum class TokenValue : std::uint8_t { hidden_state, output_grad };

/// Fills the [hidden] values of a token (its number in the whole job) with zero-mean values of variance 1.
void fill_token(const ValueSource& source, std::int64_t token, std::span<float> out,
                TokenValue value = TokenValue::hidden_state);

/// Makes of a token's values what its experts see of them when they travel in `dispatch`: the quantised ones for fp8.
void travel(core::DType dispatch, std::span<float> values);

}  // namespace ep::layer
