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

/// Walks the schedule over a clock on every rank. An operation starts when its stream is free, its waits have ended and
/// the host has issued it; an exchange starts when its last rank has arrived; while compute and communication both run
/// on a rank, each is slowed by `machine.interference`. For each rank quadratic in
/// operations at worst, of which there are tens; exchanges are priced once each.
Prediction predict(const schedule::Schedule& schedule, const Machine& machine);

}  // namespace ep::cost
