#pragma once
#include <vector>

#include "cost/machine.hpp"
#include "cost/operation_cost.hpp"
#include "schedule/schedule.hpp"
#include "schedule/timeline.hpp"

namespace ep::cost {

/// What the model says a schedule takes.
struct Prediction {
  schedule::Timeline timeline;            // of every rank; starts at 0
  double total_us = 0;                    // iteration time
  std::vector<OperationCost> operations;  // [ops] alone, with nothing beside
};

/// When everything happens on every rank, for operations that cost [ops] `costs`. An operation starts when its stream
/// is free, its waits have ended and the host has issued it; an exchange ends as its Flows say, and where there are
/// none it starts when its last rank has arrived; while compute and communication both work on a rank, each is slowed
/// by `interference`, but not while an exchange waits for others. For each rank quadratic in operations at worst, of
/// which there are tens.
schedule::Timeline walk(const schedule::Schedule& schedule, const std::vector<OperationCost>& costs,
                        const Interference& interference);

/// Prices every operation once and walks the schedule.
Prediction predict(const schedule::Schedule& schedule, const Machine& machine);

}  // namespace ep::cost
