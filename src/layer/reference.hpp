#pragma once
#include <cstdint>
#include <string>

#include "layer/layer.hpp"

namespace ep::layer {

/// One rank's verdict on its own tokens.
struct Verdict {
  bool passed = true;
  double max_relative_error = 0;  // largest |output - reference| of a token over the token's largest |reference|
  std::int64_t tokens_checked = 0;
  std::string complaint;  // the first thing found wrong, empty when passed
};

/// Largest relative error that rounding explains: for fp32 sums in another order, for bf16 rounding of every copy.
double tolerance(core::DType combine_dtype);

/// Compares what the last whole run left with the plan (counts, positions: exactly) and with a double-precision
/// reference of `sample` tokens spread over the rank's own (first and last included; all when fewer).
Verdict check(Layer& layer, int sample);

}  // namespace ep::layer
