#include "schedule/schedule.hpp"

#include <algorithm>
#include <set>
#include <string>

#include <gmock/gmock.h>

#include "core/error.hpp"
#include "schedule/strategy.hpp"
#include "schedule/timeline.hpp"
#include "tests/unit/traffic.hpp"

namespace ep::schedule {
namespace {

using ::testing::HasSubstr;

plan::LayerShape shape(int shared_ffn) {
  return {64, 32, shared_ffn, core::DType::bf16, core::DType::bf16};
}

Schedule built(const std::string& strategy, int ranks, int shared_ffn = 16) {
  return build(parse_strategy(strategy), test::even_plan(ranks, 8), shape(shared_ffn));
}

const Operation& op_named(const Schedule& schedule, const std::string& name) {
  const auto found =
      std::find_if(schedule.ops.begin(), schedule.ops.end(), [&](const auto& op) { return op.name == name; });
  EXPECT_NE(found, schedule.ops.end()) << name;
  return *found;
}

class EveryStrategy : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Schedule, EveryStrategy, ::testing::Values("sequential", "overlapped"));

TEST_P(EveryStrategy, IsFreeOfRacesForAnyRankCount) {
  for (int ranks = 1; ranks <= 8; ++ranks) {
    for (const int shared_ffn : {0, 16}) EXPECT_NO_THROW(validate(built(GetParam(), ranks, shared_ffn)));
  }
}

TEST_P(EveryStrategy, HoldsEveryStepOfTheLayerOnce) {
  std::multiset<std::string> kinds;
  for (const Operation& op : built(GetParam(), 2).ops) {
    if (op.kind != OpKind::shared) kinds.insert(std::string(name_of(op.kind)));
  }
  EXPECT_EQ(kinds, (std::multiset<std::string>{"bucket", "counts", "pack", "dispatch", "regroup", "gate_up", "swiglu",
                                               "down", "ungroup", "combine", "reduce"}));
}

TEST_P(EveryStrategy, SharedExpertCoversAllTokensOnce) {
  const plan::Plan plan = test::plan_of([] {
    core::Matrix<std::int64_t> copies(2, 2, 3);
    copies(0, 1) = 4;  // 7 tokens on rank 0: halves of 3 and 4
    return copies;
  }());
  std::int64_t rows[2] = {0, 0};
  for (const Operation& op : build(parse_strategy(GetParam()), plan, shape(16)).ops) {
    if (op.kind != OpKind::shared) continue;
    for (int rank = 0; rank < 2; ++rank) rows[rank] += (*op.work.gemm.front().rows)(rank, 0);
  }
  EXPECT_EQ(rows[0], 7);
  EXPECT_EQ(rows[1], 6);
}

/// In a schedule without redundant waits, leaving out any one of them is a race.
TEST(Schedule, DroppingAnyWaitOfOverlappedIsDetected) {
  const Schedule original = built("overlapped", 4);
  int dropped = 0;
  for (std::size_t op = 0; op < original.ops.size(); ++op) {
    for (std::size_t wait = 0; wait < original.ops[op].waits.size(); ++wait, ++dropped) {
      Schedule broken = original;
      broken.ops[op].waits.erase(broken.ops[op].waits.begin() + static_cast<std::ptrdiff_t>(wait));
      EXPECT_FALSE(find_races(broken).empty()) << broken.ops[op].name << " no longer waits";
      EXPECT_THROW(validate(broken), core::Error);
    }
  }
  EXPECT_GE(dropped, 5);  // counts, dispatch, regroup, combine, reduce
}

/// A sequential schedule waits for more than data: what may be left out without a race is order alone.
TEST(Schedule, DroppingAWaitOfSequentialIsDetectedOrOnlyOrders) {
  const Schedule original = built("sequential", 4);
  int detected = 0;
  for (std::size_t op = 0; op < original.ops.size(); ++op) {
    for (std::size_t wait = 0; wait < original.ops[op].waits.size(); ++wait) {
      Schedule broken = original;
      broken.ops[op].waits.erase(broken.ops[op].waits.begin() + static_cast<std::ptrdiff_t>(wait));
      detected += find_races(broken).empty() ? 0 : 1;
    }
  }
  EXPECT_GE(detected, 5);
}

TEST(Schedule, SequentialRunsNothingBesideAnything) {
  const Schedule schedule = built("sequential", 2);
  for (std::size_t op = 1; op < schedule.ops.size(); ++op) {
    const bool same_lane = schedule.ops[op].lane == schedule.ops[op - 1].lane;
    const bool after_host = schedule.ops[op - 1].lane == Lane::host;
    const auto& waits = schedule.ops[op].waits;
    const bool waits_for_it = std::find(waits.begin(), waits.end(), static_cast<int>(op) - 1) != waits.end();
    EXPECT_TRUE(same_lane || after_host || waits_for_it) << schedule.ops[op].name;
  }
}

TEST(Schedule, OverlappedLeavesSharedExpertFreeOfExchanges) {
  const Schedule schedule = built("overlapped", 2);
  for (const char* name : {"shared[0]", "shared[1]"}) {
    EXPECT_TRUE(op_named(schedule, name).waits.empty()) << name;
  }
}

TEST(Schedule, ReportsTheRaceItFinds) {
  Schedule schedule = built("overlapped", 2);
  for (Operation& op : schedule.ops) {
    if (op.kind == OpKind::regroup) op.waits.clear();
  }
  const std::vector<Race> races = find_races(schedule);
  ASSERT_FALSE(races.empty());
  EXPECT_EQ(schedule.ops[static_cast<std::size_t>(races[0].first)].name, "dispatch");
  EXPECT_EQ(schedule.ops[static_cast<std::size_t>(races[0].second)].name, "regroup");
  EXPECT_EQ(races[0].buffer, (BufferId{BufferKind::recv, 0}));
}

TEST(Schedule, RejectsWaitsThatPointForward) {
  Schedule schedule = built("sequential", 2);
  schedule.ops[1].waits = {5};
  try {
    validate(schedule);
    FAIL() << "accepted";
  } catch (const core::Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("not earlier"));
  }
}

TEST(Schedule, UnknownStrategyIsNamed) {
  try {
    parse_strategy("fastest");
    FAIL() << "accepted";
  } catch (const core::InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("--strategy = fastest"));
  }
}

TEST(Work, CountsEachByteOnce) {
  core::Matrix<std::int64_t> copies(2, 2);
  copies(0, 0) = 1;
  copies(0, 1) = 2;
  copies(1, 0) = 3;
  const Schedule schedule = build(parse_strategy("sequential"), test::plan_of(copies), shape(0));
  const std::int64_t row = 64 * 2;
  EXPECT_EQ(op_named(schedule, "pack").work.memory[0].bytes, (std::vector<std::int64_t>{6 * row, 6 * row}));
  EXPECT_EQ(op_named(schedule, "regroup").work.memory[0].bytes, (std::vector<std::int64_t>{8 * row, 4 * row}));
  EXPECT_EQ(op_named(schedule, "swiglu").work.memory[0].bytes, (std::vector<std::int64_t>{4 * 96 * 2, 2 * 96 * 2}));
  EXPECT_EQ(*op_named(schedule, "dispatch").work.exchange[0].rows, copies);
  EXPECT_EQ(*op_named(schedule, "combine").work.exchange[0].rows, core::transpose(copies));
  EXPECT_EQ(op_named(schedule, "gate_up").work.gemm[0].n, 64);
  EXPECT_EQ((*op_named(schedule, "gate_up").work.gemm[0].rows)(0, 0), 4);
}

TEST(Timeline, ChargesAnExchangeFromItsLatestParticipant) {
  const Schedule schedule = built("sequential", 2);
  const int dispatch = op_named(schedule, "dispatch").id;
  const int pack = op_named(schedule, "pack").id;
  const Timeline timeline{{{0, Lane::compute, pack, 100, 110},
                           {1, Lane::compute, pack, 105, 125},
                           {0, Lane::comm, dispatch, 110, 150},
                           {1, Lane::comm, dispatch, 125, 148}}};
  const auto times = op_times(schedule, timeline);
  EXPECT_DOUBLE_EQ(times[static_cast<std::size_t>(pack)].duration_us, 20);
  EXPECT_EQ(times[static_cast<std::size_t>(pack)].slowest_rank, 1);
  EXPECT_DOUBLE_EQ(times[static_cast<std::size_t>(dispatch)].duration_us, 25);
  EXPECT_DOUBLE_EQ(times[static_cast<std::size_t>(dispatch)].start_us, 10);
  EXPECT_DOUBLE_EQ(iteration_us(timeline), 50);
  EXPECT_EQ(lateness_us(timeline, 2), (std::vector<double>{0, 5}));
}

}  // namespace
}  // namespace ep::schedule
