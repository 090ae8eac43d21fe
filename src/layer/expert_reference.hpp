#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "layer/layer.hpp"

namespace ep::layer {

/// Experts as a textbook would write them: double precision, one token at a time, weights made from the expert's id
/// (kSharedExpert: the shared one). Vectors are [hidden].
class ExpertReference {
 public:
  explicit ExpertReference(const Layer& layer) : values_(layer.values()), shape_(layer.input().shape) {}

  /// Adds weight * FFN_expert(x) to `out`.
  void accumulate(std::int64_t expert, double weight, std::span<const float> x, std::span<double> out);

  /// Adds to `x_grad` the gradient of x, given that of the expert's output.
  void accumulate_grad(std::int64_t expert, std::span<const float> x, std::span<const double> out_grad,
                       std::span<double> x_grad);

  /// What one of the expert's inner units does with one token.
  struct Unit {
    double activation = 0;
    double gate_grad = 0;
    double up_grad = 0;
    double typical_grad = 0;  // the size that the two gradients have unless their factors cancel
  };
  Unit unit(std::int64_t expert, std::int64_t index, std::span<const float> x, std::span<const double> out_grad);

  [[nodiscard]] int width(std::int64_t expert) const {
    return expert == kSharedExpert ? shape_.shared_ffn : shape_.ffn;
  }

 private:
  struct Weights {
    std::vector<float> gate_up;  // [2 width, hidden]
    std::vector<float> down;     // [hidden, width]
  };
  const Weights& weights_of(std::int64_t expert);

  ValueSource values_;
  plan::LayerShape shape_;
  std::map<std::int64_t, Weights> cache_;
};

}  // namespace ep::layer
