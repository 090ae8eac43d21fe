#pragma once
#include <algorithm>

#include "schedule/schedule.hpp"

namespace ep::test {

/// Whether every operation starts after the one before it has ended, as `sequential` promises.
inline bool one_at_a_time(const schedule::Schedule& schedule) {
  for (std::size_t op = 1; op < schedule.ops.size(); ++op) {
    const auto& waits = schedule.ops[op].waits;
    const schedule::Lane before = schedule.ops[op - 1].lane;
    if (schedule.ops[op].lane != before && before != schedule::Lane::host &&
        std::find(waits.begin(), waits.end(), static_cast<int>(op) - 1) == waits.end())
      return false;
  }
  return true;
}

/// Whether leaving out what was left out of `broken` shows: as a race, or, in a sequential schedule, as lost order.
inline bool shows(const schedule::Schedule& broken) {
  const bool sequential = broken.strategy.starts_with("sequential");
  return !schedule::find_races(broken).empty() || (sequential && !one_at_a_time(broken));
}

}  // namespace ep::test
