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

}  // namespace ep::report
