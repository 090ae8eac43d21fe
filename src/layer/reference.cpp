#include "layer/reference.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "core/step.hpp"
#include "layer/expert_reference.hpp"

namespace ep::layer {

namespace {

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

}  // namespace

std::vector<std::int64_t> spread(std::int64_t count, std::int64_t sample) {
  std::vector<std::int64_t> chosen;
  const std::int64_t n = std::min(count, sample);
  for (std::int64_t i = 0; i < n; ++i) chosen.push_back(n == 1 ? 0 : i * (count - 1) / (n - 1));
  return chosen;
}

double relative_error(std::span<const float> got, std::span<const double> wanted, double scale) {
  double worst = 0;
  for (std::size_t h = 0; h < wanted.size(); ++h) {
    const double difference = std::abs(static_cast<double>(got[h]) - wanted[h]);
    if (!std::isfinite(difference)) return std::numeric_limits<double>::infinity();
    worst = std::max(worst, difference);
  }
  return worst / std::max(scale, 1e-30);
}

double largest(std::span<const double> values) {
  double most = 0;
  for (const double value : values) most = std::max(most, std::abs(value));
  return most;
}

double tolerance(core::DType payload) {
  switch (payload) {
    case core::DType::f32:
      return 1e-4;
    case core::DType::bf16:  // keeps 8 bits: every copy and the output are rounded by at most 2^-8 of their size
      return 0x1p-6;
    case core::DType::e4m3:  // dequantised values are no bf16, as tokens are: the experts' inputs are rounded once more
      return 0x1p-5;
  }
  return 0;
}

double output_tolerance(const plan::LayerShape& shape) {
  const bool rounds = shape.combine_dtype != core::DType::f32;  // an fp32 input holds a dequantised value
  return tolerance(rounds && shape.dispatch_dtype == core::DType::e4m3 ? core::DType::e4m3 : shape.combine_dtype);
}

double gradient_tolerance(const plan::LayerShape& shape) {
  // Hidden states suit the payload types; a gradient times its gate weight is rounded on both ways.
  return std::max(tolerance(plan::resting_dtype(shape)), output_tolerance(shape));
}

Verdict check(Layer& layer, int sample) {
  const LayerInput& in = layer.input();
  Verdict verdict;
  verdict.complaint = compare_with_plan(layer);
  const std::vector<float> output = layer.output();
  const auto hidden = static_cast<std::size_t>(in.shape.hidden);
  const std::int64_t first = routing::first_token(in.routing.tokens, in.placement.ranks(), in.rank);
  ExpertReference reference(layer);
  std::vector<float> x(hidden);
  std::vector<float> seen(hidden);
  for (const std::int64_t token : spread(static_cast<std::int64_t>(output.size() / hidden), sample)) {
    core::enter_step("checking results");
    fill_token(layer.values(), first + token, x);
    seen = x;
    travel(in.shape.dispatch_dtype, seen);
    std::vector<double> wanted(hidden, 0.0);
    const auto experts = in.routing.experts_of(first + token);
    for (std::size_t k = 0; k < experts.size(); ++k) {
      if (experts[k] == routing::kMasked) continue;
      const auto slot = static_cast<std::size_t>((first + token) * in.routing.topk) + k;
      reference.accumulate(experts[k], static_cast<double>(in.routing.gate_weights[slot]), seen, wanted);
    }
    if (in.shape.shared_ffn > 0) reference.accumulate(kSharedExpert, 1.0, x, wanted);
    const double error = relative_error(std::span(output).subspan(static_cast<std::size_t>(token) * hidden, hidden),
                                        wanted, largest(wanted));
    verdict.max_relative_error = std::max(verdict.max_relative_error, error);
    ++verdict.tokens_checked;
    if (error > output_tolerance(in.shape) && verdict.complaint.empty()) {
      verdict.complaint = fmt::format("rank {}: token {} differs from the reference by {:.3g} of its size", in.rank,
                                      first + token, error);
    }
  }
  verdict.passed = verdict.complaint.empty();
  return verdict;
}

}  // namespace ep::layer
