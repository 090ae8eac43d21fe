// Random schedules against an oracle that knows nothing of the race check's method: it searches for an execution in
// which the two operations run at once, instead of closing an order.
#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "core/random.hpp"
#include "schedule/builder.hpp"
#include "tests/unit/traffic.hpp"

namespace ep::schedule {
namespace {

int below(core::Random& random, std::size_t n) {
  return static_cast<int>(random.below(static_cast<std::uint64_t>(n)));
}

/// Runs the schedule as the executor would, but never starts `held` or what cannot start without its end, and says
/// whether `other` still gets to start: then nothing orders it after `held`.
bool starts_without(const Schedule& schedule, int held, int other) {
  std::vector<bool> ended(schedule.ops.size(), false);
  for (bool progress = true; progress;) {
    progress = false;
    for (const Operation& op : schedule.ops) {
      if (ended[static_cast<std::size_t>(op.id)] || op.id == held) continue;
      bool can_start = true;
      for (const int wait : op.waits) can_start = can_start && ended[static_cast<std::size_t>(wait)];
      for (int before = 0; before < op.id; ++before) {
        const Lane lane = schedule.ops[static_cast<std::size_t>(before)].lane;
        // A stream runs in order; the host blocks in its own operations before it issues what follows.
        if (lane == op.lane || lane == Lane::host) can_start = can_start && ended[static_cast<std::size_t>(before)];
      }
      if (!can_start) continue;
      if (op.id == other) return true;
      ended[static_cast<std::size_t>(op.id)] = true;
      progress = true;
    }
  }
  return false;
}

std::set<std::pair<std::uint8_t, int>> as_set(const std::vector<BufferId>& buffers) {
  std::set<std::pair<std::uint8_t, int>> set;
  for (const BufferId& buffer : buffers) set.emplace(static_cast<std::uint8_t>(buffer.kind), buffer.part);
  return set;
}

bool touch_the_same(const Operation& a, const Operation& b) {
  const auto meet = [](const std::vector<BufferId>& x, const std::vector<BufferId>& y) {
    const auto in_y = as_set(y);
    return std::any_of(x.begin(), x.end(), [&](const BufferId& buffer) {
      return in_y.contains({static_cast<std::uint8_t>(buffer.kind), buffer.part});
    });
  };
  return meet(a.writes, b.writes) || meet(a.writes, b.reads) || meet(a.reads, b.writes);
}

/// Pairs that touch one buffer, one writing, and could run in either order or at once.
std::set<std::pair<int, int>> races_by_search(const Schedule& schedule) {
  std::set<std::pair<int, int>> races;
  for (const Operation& first : schedule.ops) {
    for (const Operation& second : schedule.ops) {
      if (second.id <= first.id || !touch_the_same(first, second)) continue;
      if (starts_without(schedule, first.id, second.id)) races.emplace(first.id, second.id);
    }
  }
  return races;
}

std::set<std::pair<int, int>> races_found(const Schedule& schedule) {
  std::set<std::pair<int, int>> races;
  for (const Race& race : find_races(schedule)) races.emplace(race.first, race.second);
  return races;
}

/// Every wait in turn is left out: the race check must say what the search says.
/// @return how many of them led to a race.
int drop_each_wait(const Schedule& schedule) {
  int races = 0;
  for (std::size_t op = 0; op < schedule.ops.size(); ++op) {
    for (std::size_t wait = 0; wait < schedule.ops[op].waits.size(); ++wait) {
      Schedule broken = schedule;
      broken.ops[op].waits.erase(broken.ops[op].waits.begin() + static_cast<std::ptrdiff_t>(wait));
      const auto wanted = races_by_search(broken);
      EXPECT_EQ(races_found(broken), wanted) << broken.ops[op].name;
      races += wanted.empty() ? 0 : 1;
    }
  }
  return races;
}

/// Operations with random lanes, buffers and waits: mostly racy, and the check has to name every race.
TEST(RandomSchedule, CheckAgreesWithSearch) {
  int racy = 0;
  int clean = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    core::Random random(seed, 1);
    Schedule schedule;
    const std::size_t count = 4 + random.below(14);
    const std::size_t buffers = 1 + random.below(8);
    const std::size_t waits = random.below(4);
    for (std::size_t id = 0; id < count; ++id) {
      Operation op{};
      op.id = static_cast<int>(id);
      op.name = std::to_string(id);
      op.lane = random.below(8) == 0 ? Lane::host : (random.below(2) == 0 ? Lane::compute : Lane::comm);
      op.reads.push_back({BufferKind::tokens, below(random, buffers)});
      op.writes.push_back({BufferKind::tokens, below(random, buffers)});
      for (std::size_t wait = 0; id > 0 && wait < waits; ++wait) op.waits.push_back(below(random, id));
      schedule.ops.push_back(std::move(op));
    }
    const auto wanted = races_by_search(schedule);
    (wanted.empty() ? clean : racy) += 1;
    EXPECT_EQ(races_found(schedule), wanted) << "seed " << seed;
    drop_each_wait(schedule);
  }
  EXPECT_GT(racy, 20);
  EXPECT_GT(clean, 20);
}

/// A call of the builder, and the calls that have to come before it for the layer to make sense.
struct Call {
  void (*make)(Builder& builder, int chunk);
  std::vector<std::size_t> after;
};

const std::vector<Call> kForward{
    {[](Builder& b, int c) { b.bucket(c); }, {}},    {[](Builder& b, int c) { b.pack(c); }, {0}},
    {[](Builder& b, int c) { b.dispatch(c); }, {1}}, {[](Builder& b, int c) { b.experts(c); }, {2}},
    {[](Builder& b, int c) { b.combine(c); }, {3}},  {[](Builder& b, int c) { b.reduce(c); }, {4}},
};
const std::vector<Call> kBackward{
    {[](Builder& b, int c) { b.pack_grad(c); }, {}},           {[](Builder& b, int c) { b.dispatch_grad(c); }, {0}},
    {[](Builder& b, int c) { b.experts_grad(c, true); }, {1}}, {[](Builder& b, int c) { b.combine_grad(c); }, {2}},
    {[](Builder& b, int c) { b.reduce_grad(c); }, {3}},        {[](Builder& b, int c) { b.experts_dw(c); }, {2}},
    {[](Builder& b, int c) { b.gate_grad(c); }, {}},
};

/// Calls [first, last) of every chunk, in any order that their dependencies allow; shared calls in between.
void call_randomly(Builder& builder, const std::vector<Call>& calls, std::size_t first, std::size_t last,
                   core::Random& random, void (*shared)(Builder&)) {
  std::vector<std::vector<bool>> done(static_cast<std::size_t>(builder.chunks()),
                                      std::vector<bool>(calls.size(), false));
  for (auto& chunk : done) std::fill_n(chunk.begin(), first, true);
  std::size_t left = done.size() * (last - first);
  std::size_t shared_at = 1 + random.below(left);
  while (left > 0) {
    if (left == std::exchange(shared_at, left == shared_at ? 0 : shared_at)) shared(builder);
    const auto chunk = static_cast<std::size_t>(below(random, done.size()));
    const std::size_t call = first + random.below(last - first);
    const auto& after = calls[call].after;
    if (done[chunk][call] || !std::all_of(after.begin(), after.end(), [&](std::size_t i) { return done[chunk][i]; })) {
      continue;
    }
    calls[call].make(builder, static_cast<int>(chunk));
    done[chunk][call] = true;
    --left;
  }
}

/// Whatever order a strategy chooses, the waits that the builder derives leave no race, and leaving one out does.
TEST(RandomSchedule, BuilderOrdersWhateverIsAskedForAndNoMore) {
  int dropped = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    core::Random random(seed, 2);
    const int chunks = 1 + below(random, 3);
    const plan::Plan plan = test::even_plan(2, 4, chunks);
    const plan::LayerShape shape{64, 32, 16, core::DType::bf16, core::DType::bf16};
    Builder builder(plan, shape, "random", false, Direction::step);
    call_randomly(builder, kForward, 0, 1, random, [](Builder&) {});
    builder.exchange_counts();
    call_randomly(builder, kForward, 1, kForward.size(), random, [](Builder& b) { b.shared(0, 1); });
    call_randomly(builder, kBackward, 0, kBackward.size(), random, [](Builder& b) {
      b.shared_dx(0, 1);
      b.shared_dw(0, 1);
    });
    const Schedule schedule = builder.finish();
    EXPECT_TRUE(races_by_search(schedule).empty()) << "seed " << seed;
    int waits = 0;
    for (const Operation& op : schedule.ops) waits += static_cast<int>(op.waits.size());
    const int races = drop_each_wait(schedule);
    EXPECT_EQ(races, waits) << "seed " << seed << ": a wait is redundant";
    dropped += races;
  }
  EXPECT_GT(dropped, 200);
}

}  // namespace
}  // namespace ep::schedule
