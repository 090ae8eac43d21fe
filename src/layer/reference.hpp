#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "layer/layer.hpp"

namespace ep::layer {

/// One rank's verdict on its own tokens.
struct Verdict {
  bool passed = true;
  double max_relative_error = 0;  // largest |output - reference| of a token over the token's largest |reference|
  std::int64_t tokens_checked = 0;
  std::string complaint;  // the first thing found wrong, empty when passed
};

/// Largest relative error that rounding explains in a result that travelled in `payload`: for fp32 sums in another
/// order, for bf16 rounding of every copy. Fp8's is that of bf16 results whose experts saw dequantised values: the
/// quantisation itself is no error, since the reference's experts see the same.
double tolerance(core::DType payload);
/// Of outputs, and of gradients, which travel in another type than hidden states where that is fp8.
double output_tolerance(const plan::LayerShape& shape);
double gradient_tolerance(const plan::LayerShape& shape);

/// Compares what the last whole run left with the plan (counts, positions: exactly) and with a double-precision
/// reference of `sample` tokens spread over the rank's own (first and last included; all when fewer).
Verdict check(Layer& layer, int sample);

/// Adds to `verdict` what the last backward pass left: the gradients of `sample` tokens and of their gate weights, and
/// of a few rows and columns of a few experts' weights, for which all tokens that they saw are computed again.
void check_gradients(Layer& layer, int sample, Verdict& verdict);

/// `sample` numbers spread evenly over [0, count), both ends included.
std::vector<std::int64_t> spread(std::int64_t count, std::int64_t sample);
/// Largest |got - wanted| over `scale`; infinite for what is no number.
double relative_error(std::span<const float> got, std::span<const double> wanted, double scale);
/// Largest absolute value.
double largest(std::span<const double> values);

}  // namespace ep::layer
