#include "layer/reference.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include <fmt/format.h>

#include "core/step.hpp"

namespace ep::layer {

namespace {

/// Experts as a textbook would write them: double precision, one token at a time, weights made from the expert's id.
class Reference {
 public:
  explicit Reference(const Layer& layer) : values_(layer.values()), shape_(layer.input().shape) {}

  /// Adds weight * FFN_expert(x) to `out` [hidden].
  void accumulate(std::int64_t expert, double weight, std::span<const float> x, std::vector<double>& out) {
    const int width = expert == kSharedExpert ? shape_.shared_ffn : shape_.ffn;
    const Weights& weights = weights_of(expert, width);
    std::vector<double> activation(static_cast<std::size_t>(width));
    for (std::size_t i = 0; i < activation.size(); ++i) {
      const double gate = dot(weights.gate_up, i, x);
      const double up = dot(weights.gate_up, i + activation.size(), x);
      activation[i] = gate / (1 + std::exp(-gate)) * up;
    }
    for (std::size_t h = 0; h < out.size(); ++h) out[h] += weight * dot(weights.down, h, std::span(activation));
  }

 private:
  struct Weights {
    std::vector<float> gate_up;
    std::vector<float> down;
  };

  template <class T>
  static double dot(const std::vector<float>& matrix, std::size_t row, std::span<const T> x) {
    double sum = 0;
    const float* const w = matrix.data() + row * x.size();
    for (std::size_t i = 0; i < x.size(); ++i) sum += double{w[i]} * static_cast<double>(x[i]);
    return sum;
  }
  static double dot(const std::vector<float>& matrix, std::size_t row, std::span<double> x) {
    return dot(matrix, row, std::span<const double>(x));
  }

  const Weights& weights_of(std::int64_t expert, int width) {
    const auto [found, made] = cache_.try_emplace(expert);
    if (made) {
      const auto size = static_cast<std::size_t>(width) * static_cast<std::size_t>(shape_.hidden);
      found->second.gate_up.resize(2 * size);
      found->second.down.resize(size);
      fill_weights(values_, Matrix::gate_up, expert, shape_.hidden, found->second.gate_up);
      fill_weights(values_, Matrix::down, expert, width, found->second.down);
    }
    return found->second;
  }

  ValueSource values_;
  plan::LayerShape shape_;
  std::map<std::int64_t, Weights> cache_;
};

std::string compare_with_plan(Layer& layer) {
  const LayerInput& in = layer.input();
  const int chunks = static_cast<int>(layer.chunks().size());
  const plan::Plan plan = plan::make_plan(in.routing, in.placement, in.topology, chunks);
  const std::vector<std::int32_t> positions = layer.positions();
  for (int chunk = 0; chunk < chunks; ++chunk) {
    const plan::RankPlan expected = plan::make_rank_plan(plan, in.routing, in.rank, chunk);
    const ChunkRows& rows = layer.chunks()[static_cast<std::size_t>(chunk)];
    if (rows.send_counts != expected.send_counts)
      return fmt::format("rank {}: bucket counts differ from the plan", in.rank);
    if (rows.recv_counts != expected.recv_counts)
      return fmt::format("rank {}: exchanged counts differ from the plan", in.rank);
    const auto first = positions.begin() + rows.first_token * in.routing.topk;
    if (!std::equal(expected.position.begin(), expected.position.end(), first)) {
      return fmt::format("rank {}: bucket order differs from the plan", in.rank);
    }
  }
  return {};
}

/// `sample` numbers spread evenly over [0, count), both ends included.
std::vector<std::int64_t> spread(std::int64_t count, std::int64_t sample) {
  std::vector<std::int64_t> chosen;
  const std::int64_t n = std::min(count, sample);
  for (std::int64_t i = 0; i < n; ++i) chosen.push_back(n == 1 ? 0 : i * (count - 1) / (n - 1));
  return chosen;
}

double relative_error(std::span<const float> got, const std::vector<double>& wanted) {
  double scale = 1e-30;
  double worst = 0;
  for (std::size_t h = 0; h < wanted.size(); ++h) {
    scale = std::max(scale, std::abs(wanted[h]));
    const double difference = std::abs(static_cast<double>(got[h]) - wanted[h]);
    if (!std::isfinite(difference)) return std::numeric_limits<double>::infinity();
    worst = std::max(worst, difference);
  }
  return worst / scale;
}

}  // namespace

double tolerance(core::DType combine_dtype) {
  // bf16 keeps 8 bits: every copy and the output are rounded by at most 2^-9 of their size.
  return combine_dtype == core::DType::f32 ? 1e-4 : 0x1p-6;
}

Verdict check(Layer& layer, int sample) {
  const LayerInput& in = layer.input();
  Verdict verdict;
  verdict.complaint = compare_with_plan(layer);
  const std::vector<float> output = layer.output();
  const auto hidden = static_cast<std::size_t>(in.shape.hidden);
  const std::int64_t first = routing::first_token(in.routing.tokens, in.placement.ranks(), in.rank);
  Reference reference(layer);
  std::vector<float> x(hidden);
  for (const std::int64_t token : spread(static_cast<std::int64_t>(output.size() / hidden), sample)) {
    core::enter_step("checking results");
    fill_token(layer.values(), first + token, x);
    std::vector<double> wanted(hidden, 0.0);
    const auto experts = in.routing.experts_of(first + token);
    for (std::size_t k = 0; k < experts.size(); ++k) {
      if (experts[k] == routing::kMasked) continue;
      const auto slot = static_cast<std::size_t>((first + token) * in.routing.topk) + k;
      reference.accumulate(experts[k], static_cast<double>(in.routing.gate_weights[slot]), x, wanted);
    }
    if (in.shape.shared_ffn > 0) reference.accumulate(kSharedExpert, 1.0, x, wanted);
    const double error =
        relative_error(std::span(output).subspan(static_cast<std::size_t>(token) * hidden, hidden), wanted);
    verdict.max_relative_error = std::max(verdict.max_relative_error, error);
    ++verdict.tokens_checked;
    if (error > tolerance(in.shape.combine_dtype) && verdict.complaint.empty()) {
      verdict.complaint = fmt::format("rank {}: token {} differs from the reference by {:.3g} of its size", in.rank,
                                      first + token, error);
    }
  }
  verdict.passed = verdict.complaint.empty();
  return verdict;
}

}  // namespace ep::layer
