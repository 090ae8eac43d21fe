#include <gtest/gtest.h>

#include "cost/waterfall.hpp"
#include "schedule/strategy.hpp"
#include "tests/unit/traffic.hpp"

namespace ep::cost {
namespace {

Machine slow_machine(int ranks) {
  Machine m;
  m.topology = placement::block_topology(ranks, ranks);
  m.in_node = {1, 10};
  m.node_memory = {3, 5};
  m.counts_us = 7;
  m.own_memory = {2, 1};
  m.gemm = {{64, 64, {{8, 10}, {16, 20}}}, {64, 64, {{8, 30}, {16, 60}}, true}};
  m.interference = {1.5, 1.25};
  m.ranks[0].compute = 1.5;
  m.ranks[1].in_node = Line{2, 4};
  return m;
}

Machine machine_of_alike(int ranks) {
  Machine m = slow_machine(ranks);
  m.ranks.clear();
  return m;
}

schedule::Schedule even(const char* strategy, int shared_ffn) {
  return build(schedule::parse_strategy(strategy), test::even_plan(2, 8), test::small_shape(shared_ffn));
}

/// Rank 0 gets three times the rows of the others.
schedule::Schedule skewed(const std::string& strategy, schedule::Direction direction, int ranks) {
  core::Matrix<std::int64_t> copies(ranks, ranks, 8);
  for (int source = 0; source < ranks; ++source) copies(source, 0) = 24;
  const schedule::Strategy parsed = schedule::parse_strategy(strategy);
  return build(parsed, test::plan_of(copies, parsed.chunks), test::small_shape(16), direction);
}

double sum(const Waterfall& parts) {
  return parts.latency_us + parts.compute_us + parts.transfer_us + parts.skew_us + parts.contention_us;
}

TEST(Waterfall, WhatTheFabricTakesIsTransfer) {
  const schedule::Schedule schedule = skewed("sequential", schedule::Direction::forward, 3);
  Machine m = machine_of_alike(3);
  m.topology = placement::block_topology(3, 1);
  m.between_nodes = {1, 10};
  const auto parts_with = [&](double gbs) {
    m.fabric = {0, gbs};
    return waterfall(schedule, m, predict(schedule, m));
  };
  const Waterfall fast = parts_with(1000);
  const Waterfall slow = parts_with(0.001);
  EXPECT_DOUBLE_EQ(slow.latency_us, fast.latency_us);
  EXPECT_GT(slow.transfer_us, 10 * fast.transfer_us);
}

TEST(Waterfall, SumsToThePredictionWhateverTheSchedule) {
  for (const char* strategy : {"sequential", "overlapped", "chunked:3", "two-batch"}) {
    for (const auto direction :
         {schedule::Direction::forward, schedule::Direction::backward, schedule::Direction::step}) {
      const schedule::Schedule schedule = skewed(strategy, direction, 3);
      const Machine machine = slow_machine(3);
      const Prediction prediction = predict(schedule, machine);
      const Waterfall parts = waterfall(schedule, machine, prediction);
      EXPECT_NEAR(sum(parts), prediction.total_us, 1e-9 * prediction.total_us) << strategy;
      EXPECT_GT(parts.latency_us, 0) << strategy;
      EXPECT_GT(parts.compute_us, 0) << strategy;
      EXPECT_GT(parts.skew_us, 0) << strategy;
    }
  }
}

TEST(Waterfall, CountsTheNodeMemoryOfAnExchangeAsTransfer) {
  const schedule::Schedule schedule = even("sequential", 0);
  Machine machine = machine_of_alike(2);
  const Waterfall before = waterfall(schedule, machine, predict(schedule, machine));
  // Dispatch moves 2048 bytes, at 1 GB/s, or by its points, in place of 5: as much longer, and nothing else changes.
  for (const Line& slower : {Line{3, 1}, Line{3, 5, 0, {{1024, 3 + 1.024}, {4096, 3 + 4.096}}}}) {
    machine.memory[schedule::OpKind::dispatch] = slower;
    const Waterfall parts = waterfall(schedule, machine, predict(schedule, machine));
    EXPECT_NEAR(parts.transfer_us - before.transfer_us, 2048 / 1e3 - 2048 / 5e3, 1e-9);
    EXPECT_NEAR(parts.latency_us, before.latency_us, 1e-9);
    EXPECT_NEAR(parts.compute_us, before.compute_us, 1e-9);
  }
}

TEST(Waterfall, EqualRanksHaveNoSkewAndOneThingAtATimeNoContention) {
  const schedule::Schedule schedule = even("sequential", 0);
  Machine machine = machine_of_alike(2);
  const Waterfall parts = waterfall(schedule, machine, predict(schedule, machine));
  EXPECT_NEAR(parts.skew_us, 0, 1e-9);
  EXPECT_NEAR(parts.contention_us, 0, 1e-9);
  // There and back, 8 rows of 64 bf16 from each rank, both through the node's memory: 2 * 2048 / 5000.
  EXPECT_NEAR(parts.transfer_us, 2 * 2 * 1024.0 / 5000, 1e-9);
}

TEST(Waterfall, WhatIsHiddenAddsNothingAndFightingShows) {
  Machine machine = machine_of_alike(2);
  machine.node_memory = {};
  machine.in_node = {0, 0.1};  // long exchanges, beside which the shared expert runs
  const auto parts_of = [&](const char* strategy) {
    const schedule::Schedule schedule = even(strategy, 16);
    return waterfall(schedule, machine, predict(schedule, machine));
  };
  EXPECT_LT(parts_of("overlapped").transfer_us, parts_of("sequential").transfer_us);
  EXPECT_GT(parts_of("overlapped").contention_us, 0);
  EXPECT_NEAR(parts_of("sequential").contention_us, 0, 1e-9);
}

}  // namespace
}  // namespace ep::cost
