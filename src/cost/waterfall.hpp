#pragma once
#include "cost/machine.hpp"
#include "cost/predict.hpp"
#include "schedule/schedule.hpp"

namespace ep::cost {

/// A schedule's predicted time taken apart: what each cause adds to the iteration once those above it are in. What is
/// hidden behind them adds nothing. Microseconds; the sum is Prediction::total_us.
struct Waterfall {
  double latency_us = 0;     // of messages and launches: nothing has any size
  double compute_us = 0;     // GEMMs and kernels, every rank with the mean of all ranks
  double transfer_us = 0;    // bytes between ranks, likewise
  double skew_us = 0;        // each rank with its own load
  double contention_us = 0;  // compute and communication slow each other
};

/// @param prediction that of `schedule` on `machine`. Costs four more walks over the schedule.
Waterfall waterfall(const schedule::Schedule& schedule, const Machine& machine, const Prediction& prediction);

}  // namespace ep::cost
