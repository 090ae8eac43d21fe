#pragma once
#include <span>
#include <vector>

#include "cost/machine.hpp"
#include "schedule/schedule.hpp"

namespace ep::cost {

/// What the model says of one schedule among several for the same work. Microseconds.
struct Candidate {
  std::size_t schedule = 0;  // position among those compared
  double total_us = 0;
  double compute_us = 0;  // busy time of the compute stream, of the rank where it is longest
};

/// The schedules in the order in which the model would choose them: shortest predicted time first, and of equal ones
/// the one with fewer operations, which has less to go wrong that no model prices.
std::vector<Candidate> rank_schedules(std::span<const schedule::Schedule> schedules, const Machine& machine);

}  // namespace ep::cost
