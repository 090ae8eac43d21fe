#include <fmt/format.h>

#include "core/error.hpp"
#include "schedule/order.hpp"
#include "schedule/schedule.hpp"

namespace ep::schedule {

std::vector<Race> find_races(const Schedule& schedule) {
  Order order;
  std::vector<Race> races;
  for (const Operation& later : schedule.ops) {
    order.add(later.lane);
    for (const int wait : later.waits) order.wait_for(wait);
    for (const Operation& earlier : schedule.ops) {
      if (earlier.id == later.id) break;
      if (order.ordered(earlier.id, later.id)) continue;
      if (const BufferId* buffer = conflict(earlier, later)) races.push_back({earlier.id, later.id, *buffer});
    }
  }
  return races;
}

void validate(const Schedule& schedule) {
  const auto fail = [&](const std::string& what) {
    throw core::Error(core::ExitCode::internal, fmt::format("schedule {}: {}", schedule.strategy, what));
  };
  for (std::size_t i = 0; i < schedule.ops.size(); ++i) {
    const Operation& op = schedule.ops[i];
    if (op.id != static_cast<int>(i)) fail(fmt::format("operation {} has id {}", i, op.id));
    for (const int wait : op.waits) {
      if (wait < 0 || wait >= op.id) fail(fmt::format("{} waits for {}, which is not earlier", op.name, wait));
    }
  }
  const std::vector<Race> races = find_races(schedule);
  if (races.empty()) return;
  const auto name = [&](int id) { return schedule.ops[static_cast<std::size_t>(id)].name; };
  fail(fmt::format("{} and {} touch buffer {} at once", name(races[0].first), name(races[0].second),
                   static_cast<int>(races[0].buffer.kind)));
}

}  // namespace ep::schedule
