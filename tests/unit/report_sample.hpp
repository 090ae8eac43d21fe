#pragma once
#include "measure/result.hpp"

namespace ep::report::test {

/// Two strategies on two cpu ranks, three launches: numbers of the size such a run gives, made up to exercise every
/// part of the output.
measure::Report sample_report();

/// Emulated GPUs on two nodes with clocks apart, four strategies: one that gains, one with wrong data, one unchecked,
/// one only predicted.
measure::Report odd_report();

}  // namespace ep::report::test
