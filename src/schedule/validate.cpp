#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include "core/error.hpp"
#include "schedule/schedule.hpp"

namespace ep::schedule {

namespace {

using Order = std::vector<std::vector<bool>>;  // [later][earlier]: earlier has ended before later starts

void inherit(Order& before, std::size_t later, std::size_t earlier) {
  before[later][earlier] = true;
  for (std::size_t i = 0; i < earlier; ++i) {
    if (before[earlier][i]) before[later][i] = true;
  }
}

/// Transitive closure in one pass: every edge points from an earlier id to a later one.
Order happens_before(const Schedule& schedule) {
  const std::size_t count = schedule.ops.size();
  Order before(count, std::vector<bool>(count, false));
  std::array<std::optional<std::size_t>, 3> last_in_lane;
  for (std::size_t i = 0; i < count; ++i) {
    const Operation& op = schedule.ops[i];
    auto& last = last_in_lane[static_cast<std::size_t>(op.lane)];
    if (last) inherit(before, i, *last);
    // The host issues in order and blocks in its own operations: what it issues later starts later.
    const auto& last_host = last_in_lane[static_cast<std::size_t>(Lane::host)];
    if (last_host && *last_host != i) inherit(before, i, *last_host);
    for (const int wait : op.waits) inherit(before, i, static_cast<std::size_t>(wait));
    last = i;
  }
  return before;
}

const BufferId* first_shared(const std::vector<BufferId>& a, const std::vector<BufferId>& b) {
  const auto found = std::find_first_of(a.begin(), a.end(), b.begin(), b.end());
  return found == a.end() ? nullptr : &*found;
}

/// The buffer over which two operations must not run at once, if any.
const BufferId* conflict(const Operation& a, const Operation& b) {
  if (const BufferId* buffer = first_shared(a.writes, b.writes)) return buffer;
  if (const BufferId* buffer = first_shared(a.writes, b.reads)) return buffer;
  return first_shared(a.reads, b.writes);
}

}  // namespace

std::vector<Race> find_races(const Schedule& schedule) {
  const Order before = happens_before(schedule);
  std::vector<Race> races;
  for (std::size_t later = 0; later < schedule.ops.size(); ++later) {
    for (std::size_t earlier = 0; earlier < later; ++earlier) {
      if (before[later][earlier]) continue;
      const BufferId* buffer = conflict(schedule.ops[earlier], schedule.ops[later]);
      if (buffer != nullptr) races.push_back({static_cast<int>(earlier), static_cast<int>(later), *buffer});
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
