#pragma once
#include <span>

#include "cost/machine.hpp"

namespace ep::calibration {

struct Sample {
  double bytes = 0;
  double us = 0;
};

/// Least-squares line through (bytes, us) with weights 1 / us^2, so that every sample counts by its relative error.
/// A negative latency becomes 0; when the times do not grow with the bytes the line goes through the largest sample.
cost::Line fit_line(std::span<const Sample> samples);

}  // namespace ep::calibration
