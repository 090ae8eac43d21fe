#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "layer/expert_reference.hpp"
#include "layer/reference.hpp"

namespace ep::layer {

namespace {

constexpr std::int64_t kExperts = 3;  // whose weights' gradients are checked
constexpr std::int64_t kUnits = 2;    // of each: two rows of one matrix and a column of the other

double norm(std::span<const double> values) {
  double square = 0;
  for (const double value : values) square += value * value;
  return std::sqrt(square);
}

class GradientCheck {
 public:
  GradientCheck(Layer& layer, Verdict& verdict)
      : in_(layer.input()),
        layer_(layer),
        verdict_(verdict),
        reference_(layer),
        hidden_(static_cast<std::size_t>(in_.shape.hidden)),
        first_(routing::first_token(in_.routing.tokens, in_.placement.ranks(), in_.rank)),
        x_(hidden_),
        value_(hidden_) {}

  void check_tokens(int sample);
  void check_experts();

 private:
  /// Makes `x_`, what the expert sees of a token of the job, and, times `weight`, `out_grad_`. The shared expert sees
  /// the token itself; a gradient passes the quantisation as if there were none.
  void load(std::int64_t token, double weight, bool shared = false) {
    fill_token(layer_.values(), token, x_);
    if (!shared) travel(in_.shape.dispatch_dtype, x_);
    fill_token(layer_.values(), token, value_, TokenValue::output_grad);
    out_grad_.assign(value_.begin(), value_.end());
    for (double& value : out_grad_) value *= weight;
  }
  [[nodiscard]] double gate_weight(std::int64_t token, std::size_t k) const {
    return static_cast<double>(in_.routing.gate_weights[static_cast<std::size_t>(token * in_.routing.topk) + k]);
  }
  /// Loads every copy that the expert sees, of all ranks' tokens; the shared expert sees the rank's own.
  template <class Visit>
  void for_each_copy(std::int64_t expert, Visit visit);
  void check_token(std::int64_t token, std::span<const float> token_grad, std::span<const float> gate_grad);
  void check_weights(std::int64_t expert, std::int64_t slot);
  void hold(double error, const std::string& what) {
    verdict_.max_relative_error = std::max(verdict_.max_relative_error, error);
    if (error <= gradient_tolerance(in_.shape) || !verdict_.complaint.empty()) return;
    verdict_.complaint =
        fmt::format("rank {}: {} differs from the reference by {:.3g} of its size", in_.rank, what, error);
  }

  const LayerInput& in_;
  Layer& layer_;
  Verdict& verdict_;
  ExpertReference reference_;
  std::size_t hidden_;
  std::int64_t first_;
  std::vector<float> x_;
  std::vector<float> value_;
  std::vector<double> out_grad_;
};

void GradientCheck::check_tokens(int sample) {
  const std::vector<float> token_grad = layer_.token_grad();
  const std::vector<float> gate_grad = layer_.gate_grad();
  const auto topk = static_cast<std::size_t>(in_.routing.topk);
  for (const std::int64_t token : spread(static_cast<std::int64_t>(token_grad.size() / hidden_), sample)) {
    const auto t = static_cast<std::size_t>(token);
    check_token(first_ + token, std::span(token_grad).subspan(t * hidden_, hidden_),
                std::span(gate_grad).subspan(t * topk, topk));
  }
}

void GradientCheck::check_token(std::int64_t token, std::span<const float> token_grad,
                                std::span<const float> gate_grad) {
  std::vector<double> wanted(hidden_);
  const auto experts = in_.routing.experts_of(token);
  for (std::size_t k = 0; k < experts.size(); ++k) {
    double wanted_gate = 0;
    double scale = 0;
    if (experts[k] != routing::kMasked) {
      load(token, gate_weight(token, k));
      reference_.accumulate_grad(experts[k], x_, out_grad_, wanted);
      load(token, 1);
      std::vector<double> out(hidden_);
      reference_.accumulate(experts[k], 1, x_, out);
      for (std::size_t h = 0; h < hidden_; ++h) wanted_gate += out_grad_[h] * out[h];
      scale = norm(out_grad_) * norm(out) / std::sqrt(static_cast<double>(hidden_));  // unless the terms cancel
    }
    hold(relative_error(gate_grad.subspan(k, 1), std::span(&wanted_gate, 1), scale),
         fmt::format("gradient of gate weight {} of token {}", k, token));
  }
  if (in_.shape.shared_ffn > 0) {
    load(token, 1, true);
    reference_.accumulate_grad(kSharedExpert, x_, out_grad_, wanted);
  }
  hold(relative_error(token_grad, wanted, largest(wanted)), fmt::format("gradient of token {}", token));
}

void GradientCheck::check_experts() {
  const auto local = in_.placement.experts_of(in_.rank);
  for (const std::int64_t slot : spread(static_cast<std::int64_t>(local.size()), kExperts)) {
    check_weights(local[static_cast<std::size_t>(slot)], slot);
  }
  if (in_.shape.shared_ffn > 0) check_weights(kSharedExpert, Layer::kSharedSlot);
}

/// A row of a gradient of weights, or a column, as it should be.
struct WeightRow {
  explicit WeightRow(std::size_t hidden) : values(hidden) {}
  template <class T>
  void add(double factor, double typical_factor, const std::vector<T>& vector) {
    double most = 0;
    for (std::size_t h = 0; h < values.size(); ++h) {
      values[h] += factor * static_cast<double>(vector[h]);
      most = std::max(most, std::abs(static_cast<double>(vector[h])));
    }
    square += typical_factor * typical_factor * most * most;
  }
  std::vector<double> values;
  double square = 0;  // of the size it has unless its terms cancel
};

template <class Visit>
void GradientCheck::for_each_copy(std::int64_t expert, Visit visit) {
  const bool shared = expert == kSharedExpert;
  const std::int64_t last =
      shared ? routing::first_token(in_.routing.tokens, in_.placement.ranks(), in_.rank + 1) : in_.routing.tokens;
  for (std::int64_t token = shared ? first_ : 0; token < last; ++token) {
    const auto experts = in_.routing.experts_of(token);
    for (std::size_t k = 0; k < (shared ? 1 : experts.size()); ++k) {
      if (!shared && experts[k] != expert) continue;
      load(token, shared ? 1 : gate_weight(token, k), shared);
      visit();
    }
  }
}

void GradientCheck::check_weights(std::int64_t expert, std::int64_t slot) {
  const std::vector<float> gate_up = layer_.weights_grad(Matrix::gate_up, slot);
  const std::vector<float> down = layer_.weights_grad(Matrix::down, slot);
  const auto width = static_cast<std::size_t>(reference_.width(expert));
  for (const std::int64_t unit : spread(static_cast<std::int64_t>(width), kUnits)) {
    const auto i = static_cast<std::size_t>(unit);
    WeightRow gate(hidden_);
    WeightRow up(hidden_);
    WeightRow column(hidden_);
    for_each_copy(expert, [&] {
      const ExpertReference::Unit seen = reference_.unit(expert, unit, x_, out_grad_);
      gate.add(seen.gate_grad, seen.typical_grad, x_);
      up.add(seen.up_grad, seen.typical_grad, x_);
      column.add(seen.activation, seen.activation, out_grad_);
    });
    std::vector<float> got_column;
    for (std::size_t h = 0; h < hidden_; ++h) got_column.push_back(down[h * width + i]);
    const std::string name = expert == kSharedExpert ? "the shared expert" : fmt::format("expert {}", expert);
    hold(relative_error(std::span(gate_up).subspan(i * hidden_, hidden_), gate.values, std::sqrt(gate.square)),
         fmt::format("gradient of gate row {} of {}", unit, name));
    hold(relative_error(std::span(gate_up).subspan((i + width) * hidden_, hidden_), up.values, std::sqrt(up.square)),
         fmt::format("gradient of up row {} of {}", unit, name));
    hold(relative_error(got_column, column.values, std::sqrt(column.square)),
         fmt::format("gradient of down column {} of {}", unit, name));
  }
}

}  // namespace

void check_gradients(Layer& layer, int sample, Verdict& verdict) {
  GradientCheck check(layer, verdict);
  check.check_tokens(sample);
  check.check_experts();
  verdict.passed = verdict.passed && verdict.complaint.empty();
}

}  // namespace ep::layer
