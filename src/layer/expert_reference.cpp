#include "layer/expert_reference.hpp"

#include <algorithm>
#include <cmath>

namespace ep::layer {

namespace {

/// Row `row` of a matrix [_, x.size()] times x.
template <class T>
double dot(const std::vector<float>& matrix, std::size_t row, std::span<const T> x) {
  double sum = 0;
  const float* const w = matrix.data() + row * x.size();
  for (std::size_t i = 0; i < x.size(); ++i) sum += double{w[i]} * static_cast<double>(x[i]);
  return sum;
}

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

/// Gate and up of a unit, and the gradients of both for one of their product's.
struct Gated {
  double gate;
  double up;

  [[nodiscard]] double activation() const { return gate * sigmoid(gate) * up; }
  [[nodiscard]] double gate_slope() const {
    const double s = sigmoid(gate);
    return up * s * (1 + gate * (1 - s));
  }
  [[nodiscard]] double up_slope() const { return gate * sigmoid(gate); }
};

}  // namespace

void ExpertReference::accumulate(std::int64_t expert, double weight, std::span<const float> x, std::span<double> out) {
  const Weights& weights = weights_of(expert);
  std::vector<double> activation(static_cast<std::size_t>(width(expert)));
  for (std::size_t i = 0; i < activation.size(); ++i) {
    activation[i] = Gated{dot(weights.gate_up, i, x), dot(weights.gate_up, i + activation.size(), x)}.activation();
  }
  for (std::size_t h = 0; h < out.size(); ++h) {
    out[h] += weight * dot(weights.down, h, std::span<const double>(activation));
  }
}

void ExpertReference::accumulate_grad(std::int64_t expert, std::span<const float> x, std::span<const double> out_grad,
                                      std::span<double> x_grad) {
  const Weights& weights = weights_of(expert);
  const auto units = static_cast<std::size_t>(width(expert));
  std::vector<double> activation_grad(units);
  for (std::size_t h = 0; h < x.size(); ++h) {
    for (std::size_t i = 0; i < units; ++i) activation_grad[i] += out_grad[h] * double{weights.down[h * units + i]};
  }
  for (std::size_t i = 0; i < units; ++i) {
    const Gated unit{dot(weights.gate_up, i, x), dot(weights.gate_up, i + units, x)};
    const double gate_grad = activation_grad[i] * unit.gate_slope();
    const double up_grad = activation_grad[i] * unit.up_slope();
    const float* const gate_row = weights.gate_up.data() + i * x.size();
    const float* const up_row = gate_row + units * x.size();
    for (std::size_t h = 0; h < x.size(); ++h)
      x_grad[h] += gate_grad * double{gate_row[h]} + up_grad * double{up_row[h]};
  }
}

ExpertReference::Unit ExpertReference::unit(std::int64_t expert, std::int64_t index, std::span<const float> x,
                                            std::span<const double> out_grad) {
  const Weights& weights = weights_of(expert);
  const auto units = static_cast<std::size_t>(width(expert));
  const auto i = static_cast<std::size_t>(index);
  double activation_grad = 0;
  double grad_square = 0;
  double column_square = 0;
  for (std::size_t h = 0; h < x.size(); ++h) {
    const double weight{weights.down[h * units + i]};
    activation_grad += out_grad[h] * weight;
    grad_square += out_grad[h] * out_grad[h];
    column_square += weight * weight;
  }
  const Gated unit{dot(weights.gate_up, i, x), dot(weights.gate_up, i + units, x)};
  const double typical = std::sqrt(grad_square * column_square / static_cast<double>(x.size()));
  return {unit.activation(), activation_grad * unit.gate_slope(), activation_grad * unit.up_slope(),
          typical * std::max({1.0, std::abs(unit.gate), std::abs(unit.up)})};
}

const ExpertReference::Weights& ExpertReference::weights_of(std::int64_t expert) {
  const auto [found, made] = cache_.try_emplace(expert);
  if (made) {
    const auto size = static_cast<std::size_t>(width(expert)) * static_cast<std::size_t>(shape_.hidden);
    found->second.gate_up.resize(2 * size);
    found->second.down.resize(size);
    fill_weights(values_, Matrix::gate_up, expert, shape_.hidden, found->second.gate_up);
    fill_weights(values_, Matrix::down, expert, width(expert), found->second.down);
  }
  return found->second;
}

}  // namespace ep::layer
