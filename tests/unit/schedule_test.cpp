#include "schedule/schedule.hpp"

#include <algorithm>
#include <set>
#include <string>

#include <gmock/gmock.h>

#include "core/error.hpp"
#include "schedule/strategy.hpp"
#include "schedule/timeline.hpp"
#include "tests/unit/order.hpp"
#include "tests/unit/traffic.hpp"

namespace ep::schedule {
namespace {

using ::testing::HasSubstr;

Schedule built(const std::string& strategy, int ranks, int shared_ffn = 16) {
  const Strategy parsed = parse_strategy(strategy);
  return build(parsed, test::even_plan(ranks, 8, parsed.chunks), test::small_shape(shared_ffn));
}

const Operation& op_named(const Schedule& schedule, const std::string& name) {
  const auto found =
      std::find_if(schedule.ops.begin(), schedule.ops.end(), [&](const auto& op) { return op.name == name; });
  EXPECT_NE(found, schedule.ops.end()) << name;
  return *found;
}

class EveryStrategy : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Schedule, EveryStrategy,
                         ::testing::Values("sequential", "overlapped", "chunked:1", "chunked:2", "chunked:3",
                                           "chunked:16", "two-batch"));

TEST_P(EveryStrategy, IsFreeOfRacesForAnyRankCount) {
  for (int ranks = 1; ranks <= 8; ++ranks) {
    for (const int shared_ffn : {0, 16}) EXPECT_NO_THROW(validate(built(GetParam(), ranks, shared_ffn)));
  }
}

TEST_P(EveryStrategy, HoldsEveryStepOfTheLayerOnceAChunk) {
  const Schedule schedule = built(GetParam(), 2);
  std::set<std::string> kinds;
  for (const Operation& op : schedule.ops) {
    if (op.kind == OpKind::shared) continue;
    kinds.insert(std::string(name_of(op.kind)));
    const auto same = std::count_if(schedule.ops.begin(), schedule.ops.end(),
                                    [&](const Operation& other) { return other.kind == op.kind; });
    EXPECT_EQ(same, op.kind == OpKind::exchange_counts ? 1 : schedule.chunks) << op.name;
  }
  EXPECT_EQ(kinds, (std::set<std::string>{"bucket", "counts", "pack", "dispatch", "regroup", "gate_up", "swiglu",
                                          "down", "ungroup", "combine", "reduce"}));
}

TEST_P(EveryStrategy, SharedExpertCoversAllTokensOnce) {
  const Strategy strategy = parse_strategy(GetParam());
  core::Matrix<std::int64_t> copies(2, 2, 3);
  copies(0, 1) = 4;  // 7 tokens on rank 0: halves of 3 and 4
  std::int64_t rows[2] = {0, 0};
  for (const Operation& op : build(strategy, test::plan_of(copies, strategy.chunks), test::small_shape(16)).ops) {
    if (op.kind != OpKind::shared) continue;
    for (int rank = 0; rank < 2; ++rank) rows[rank] += (*op.work.gemm.front().rows)(rank, 0);
  }
  EXPECT_EQ(rows[0], 7 * strategy.chunks);
  EXPECT_EQ(rows[1], 6 * strategy.chunks);
}

/// No wait is redundant: leaving out any one of them is a race, or undoes the order of a sequential schedule.
TEST_P(EveryStrategy, DroppingAnyWaitIsDetected) {
  const Schedule original = built(GetParam(), 4);
  int dropped = 0;
  for (std::size_t op = 0; op < original.ops.size(); ++op) {
    for (std::size_t wait = 0; wait < original.ops[op].waits.size(); ++wait, ++dropped) {
      Schedule broken = original;
      broken.ops[op].waits.erase(broken.ops[op].waits.begin() + static_cast<std::ptrdiff_t>(wait));
      EXPECT_TRUE(test::shows(broken)) << broken.ops[op].name << " no longer waits";
      if (!find_races(broken).empty()) {
        EXPECT_THROW(validate(broken), core::Error);
      }
    }
  }
  EXPECT_GE(dropped, 5);  // counts, dispatch, regroup, combine, reduce
}

TEST(Schedule, SequentialRunsNothingBesideAnything) {
  EXPECT_TRUE(test::one_at_a_time(built("sequential", 2)));
  EXPECT_FALSE(test::one_at_a_time(built("overlapped", 2)));
}

TEST(Schedule, ChunksArePipelined) {
  const Schedule schedule = built("chunked:3", 2);
  std::vector<std::string> comm;
  for (const Operation& op : schedule.ops) {
    if (op.lane == Lane::comm) comm.push_back(op.name);
  }
  EXPECT_EQ(comm, (std::vector<std::string>{"dispatch[0]", "dispatch[1]", "combine[0]", "dispatch[2]", "combine[1]",
                                            "combine[2]"}));
}

TEST(Schedule, OverlappedLeavesSharedExpertFreeOfExchanges) {
  const Schedule schedule = built("overlapped", 2);
  for (const char* name : {"shared[0]", "shared[1]"}) {
    EXPECT_TRUE(op_named(schedule, name).waits.empty()) << name;
  }
}

TEST(Schedule, TokensAreQuantisedBesideTheCountExchangeUnlessInTurn) {
  for (const std::string name : {"overlapped", "chunked:2", "two-batch"}) {
    const Strategy strategy = parse_strategy(name);
    const Schedule schedule = build(strategy, test::even_plan(2, 8, strategy.chunks), test::fp8_shape(0));
    const auto first = std::find_if(schedule.ops.begin(), schedule.ops.end(),
                                    [](const Operation& op) { return op.kind == OpKind::quantise; });
    const Operation& counts = op_named(schedule, "counts");
    EXPECT_LT(first->id, counts.id) << name;
    EXPECT_EQ(std::count(counts.waits.begin(), counts.waits.end(), first->id), 0) << name;
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
  for (const std::string word : {"fastest", "chunked:0", "chunked:17", "chunked:", "chunked:x", "two-batch:2",
                                 "+defer-dw", "overlapped+defer", "chunked+defer-dw", "chunked:2+defer-dw+defer-dw"}) {
    try {
      parse_strategy(word);
      FAIL() << "accepted " << word;
    } catch (const core::InputError& error) {
      EXPECT_THAT(error.what(), HasSubstr("--strategy")) << word;
    }
  }
}

TEST(Work, CountsEachByteOnce) {
  core::Matrix<std::int64_t> copies(2, 2);
  copies(0, 0) = 1;
  copies(0, 1) = 2;
  copies(1, 0) = 3;
  const Schedule schedule = build(parse_strategy("sequential"), test::plan_of(copies), test::small_shape(0));
  const std::int64_t row = 64 * 2;
  EXPECT_EQ(op_named(schedule, "pack").work.memory[0].bytes, (std::vector<std::int64_t>{6 * row, 6 * row}));
  EXPECT_EQ(op_named(schedule, "regroup").work.memory[0].bytes, (std::vector<std::int64_t>{8 * row, 4 * row}));
  EXPECT_EQ(op_named(schedule, "swiglu").work.memory[0].bytes, (std::vector<std::int64_t>{4 * 96 * 2, 2 * 96 * 2}));
  EXPECT_EQ(*op_named(schedule, "dispatch").work.exchange[0].rows, copies);
  EXPECT_EQ(*op_named(schedule, "combine").work.exchange[0].rows, core::transpose(copies));
  EXPECT_EQ(op_named(schedule, "gate_up").work.gemm[0].n, 64);
  EXPECT_EQ((*op_named(schedule, "gate_up").work.gemm[0].rows)(0, 0), 4);
}

TEST(Work, QuantisedRowsAreSmallerThanThoseComputedOn) {
  core::Matrix<std::int64_t> copies(2, 2);
  copies(0, 1) = 2;
  copies(1, 0) = 3;
  const Schedule schedule = build(parse_strategy("sequential"), test::plan_of(copies), test::fp8_shape(0));
  const std::int64_t row = 64 * 2;
  const std::int64_t fp8_row = 80;  // 64 elements and a scale, padded to 16 bytes
  const auto bytes = [&](const char* name) { return op_named(schedule, name).work.memory[0].bytes; };
  EXPECT_EQ(bytes("quantise"), (std::vector<std::int64_t>{2 * (row + fp8_row), 3 * (row + fp8_row)}));
  EXPECT_EQ(bytes("pack"), (std::vector<std::int64_t>{4 * fp8_row, 6 * fp8_row}));
  EXPECT_EQ(bytes("regroup"), (std::vector<std::int64_t>{3 * (row + fp8_row), 2 * (row + fp8_row)}));
  EXPECT_EQ(bytes("ungroup"), (std::vector<std::int64_t>{6 * row, 4 * row}));
  EXPECT_EQ(op_named(schedule, "dispatch").work.exchange[0].row_bytes, fp8_row);
  EXPECT_EQ(op_named(schedule, "combine").work.exchange[0].row_bytes, row);
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
  EXPECT_DOUBLE_EQ(times[static_cast<std::size_t>(dispatch)].start_us, 25);
  EXPECT_DOUBLE_EQ(iteration_us(timeline), 50);
  EXPECT_EQ(lateness_us(timeline, 2), (std::vector<double>{0, 5}));
}

}  // namespace
}  // namespace ep::schedule
