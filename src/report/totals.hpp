#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "measure/result.hpp"

namespace ep::report {

/// Time of all steps of one kind (the chunks of a dispatch, say), of hidden states and of gradients, microseconds; null
/// when there are none.
inline std::optional<double> total_us(const measure::Row& row, std::string_view kind,
                                      double measure::StepResult::*time_us = &measure::StepResult::measured_us) {
  const std::string gradient = std::string(kind) + ".grad";
  std::optional<double> total;
  for (const measure::StepResult& step : row.steps)
    if (step.kind == kind || step.kind == gradient) total = total.value_or(0) + step.*time_us;
  return total;
}

/// How the strategy that the model chose did among those measured with it.
struct ChoiceResult {
  const measure::Row* chosen;
  const measure::Row* fastest;

  [[nodiscard]] double above_percent() const { return 100 * (chosen->median_us / fastest->median_us - 1); }
};

/// Null without a choice, and where it was not measured or nothing else was.
inline std::optional<ChoiceResult> choice_result(const measure::Report& report) {
  ChoiceResult result{nullptr, nullptr};
  int measured = 0;
  for (const measure::Row& row : report.rows) {
    if (!report.choice || !measure::trusted(row)) continue;
    ++measured;
    if (row.strategy == report.choice->strategy && result.chosen == nullptr) result.chosen = &row;
    if (result.fastest == nullptr || row.median_us < result.fastest->median_us) result.fastest = &row;
  }
  return result.chosen != nullptr && measured > 1 ? std::optional(result) : std::nullopt;
}

}  // namespace ep::report
