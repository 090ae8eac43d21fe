#include "measure/fail_above.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace ep::measure {

namespace {

constexpr double kLeastShare = 0.05;  // of the predicted iteration

std::string complaint(const Row& row, std::string_view what, double measured_us, double predicted_us,
                      std::string_view binds) {
  return fmt::format(
      "{}, {}: {} took {:.2f} times its prediction ({:.1f} us measured, {:.1f} us predicted), bound by {}",
      row.strategy, row.direction, what, measured_us / predicted_us, measured_us, predicted_us, binds);
}

std::string name_of(const Bottleneck& bottleneck) {
  std::string name = bottleneck.resource.empty() ? "nothing in particular" : bottleneck.resource;
  if (bottleneck.rank >= 0) {
    name += fmt::format(" of {} {}", name.starts_with("node ") ? "node" : "rank", bottleneck.rank);
  }
  return bottleneck.step.empty() ? name : name + ", most in " + bottleneck.step;
}

/// What binds the step by the model, and the rank it really took longest on, in the iteration nearest the median: of an
/// exchange the one that had it done last, since a wait for a late rank is not its own. Without a rank where no
/// iteration was recorded.
std::string name_of(const Row& row, const StepResult& step) {
  std::string binds = step.resource.empty() ? "nothing in particular" : step.resource;
  const bool alone = step.stream == "compute";
  const auto time_us = [alone](const schedule::Span& span) { return span.end_us - (alone ? span.start_us : 0); };
  const schedule::Span* slowest = nullptr;
  for (const schedule::Span& span : row.measured_spans) {
    if (span.op == step.id && (slowest == nullptr || time_us(span) > time_us(*slowest))) slowest = &span;
  }
  if (slowest == nullptr) return binds;
  const auto rank = std::find_if(row.per_rank.begin(), row.per_rank.end(),
                                 [&](const RankResult& result) { return result.rank == slowest->rank; });
  const std::string host = rank == row.per_rank.end() || rank->host.empty() ? "" : " on " + rank->host;
  return fmt::format("{}, slowest on rank {}{}", binds, slowest->rank, host);
}

}  // namespace

std::vector<std::string> slower_than(const Report& report, double factor) {
  std::vector<std::string> complaints;
  for (const Row& row : report.rows) {
    if (!trusted(row)) continue;
    if (row.median_us > factor * row.predicted_us) {
      complaints.push_back(complaint(row, "the iteration", row.median_us, row.predicted_us, name_of(row.bottleneck)));
    }
    for (const StepResult& step : row.steps) {
      const double excess_us = step.measured_us - factor * step.predicted_us;
      if (excess_us <= 0 || excess_us < kLeastShare * row.predicted_us) continue;
      complaints.push_back(complaint(row, step.name, step.measured_us, step.predicted_us, name_of(row, step)));
    }
  }
  return complaints;
}

}  // namespace ep::measure
