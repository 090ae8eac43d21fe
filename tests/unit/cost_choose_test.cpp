#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cost/choose.hpp"
#include "cost/predict.hpp"
#include "schedule/strategy.hpp"

namespace ep::cost {
namespace {

constexpr int kRanks = 2;

/// A machine on which a byte on the link and a row of a GEMM cost what the test says.
Machine machine(double link_gbs, double gemm_row_us, Interference interference) {
  Machine machine;
  machine.topology = placement::block_topology(kRanks, 1);
  machine.between_nodes = machine.in_node = {5, link_gbs};
  machine.counts_us = 10;
  for (const auto kernel : {schedule::OpKind::bucket, schedule::OpKind::pack, schedule::OpKind::regroup,
                            schedule::OpKind::swiglu, schedule::OpKind::ungroup, schedule::OpKind::reduce})
    machine.memory[kernel] = {1, 50};
  machine.gemm = {{512, 256, {{1, 20 + gemm_row_us}, {1000, 20 + 1000 * gemm_row_us}}}};
  machine.interference = interference;
  return machine;
}

std::vector<schedule::Schedule> every_schedule() {
  const auto routing = routing::generate("uniform", {2000, 2, 4, 1, {}});
  const auto placement = placement::make_placement("block", 4, kRanks);
  const auto topology = placement::block_topology(kRanks, 1);
  const plan::LayerShape shape{256, 256, 256, core::DType::bf16, core::DType::bf16};
  std::vector<schedule::Schedule> schedules;
  for (const std::string& name : schedule::every_strategy(false)) {
    const auto strategy = schedule::parse_strategy(name);
    schedules.push_back(
        schedule::build(strategy, plan::make_plan(routing, placement, topology, strategy.chunks), shape));
  }
  return schedules;
}

TEST(RankSchedules, EveryScheduleOnceInOrderOfItsPrediction) {
  const auto schedules = every_schedule();
  const Machine m = machine(0.5, 1, {1, 1});
  const auto candidates = rank_schedules(schedules, m);
  ASSERT_EQ(candidates.size(), schedules.size());
  std::vector<bool> seen(schedules.size());
  double before = 0;
  for (const Candidate& candidate : candidates) {
    EXPECT_FALSE(seen[candidate.schedule]);
    seen[candidate.schedule] = true;
    EXPECT_EQ(candidate.total_us, predict(schedules[candidate.schedule], m).total_us);
    EXPECT_GE(candidate.total_us, before);
    EXPECT_GT(candidate.compute_us, 0);
    EXPECT_LE(candidate.compute_us, candidate.total_us);
    before = candidate.total_us;
  }
}

TEST(RankSchedules, OverlapsWhereThatHidesSomethingAndNotWhereItCosts) {
  const auto schedules = every_schedule();
  const auto first = [&](const Machine& m) { return schedules[rank_schedules(schedules, m).front().schedule]; };
  // Compute about as long as communication, which does not disturb it: several chunks, but not so many that what each
  // costs by itself outgrows what is hidden.
  const schedule::Schedule pipelined = first(machine(0.5, 1, {1, 1}));
  EXPECT_GT(pipelined.chunks, 1);
  EXPECT_LT(pipelined.chunks, schedule::kMostChunks);
  // Running side by side takes longer than one after the other.
  EXPECT_EQ(first(machine(0.5, 1, {3, 3})).strategy, "sequential");
}

TEST(RankSchedules, OfEqualSchedulesTheShorterOne) {
  std::vector<schedule::Schedule> schedules(2);
  schedules[0].ops.resize(2);
  schedules[1].ops.resize(1);
  for (schedule::Schedule& schedule : schedules)
    for (std::size_t i = 0; i < schedule.ops.size(); ++i) {
      schedule.ops[i].id = static_cast<int>(i);
      schedule.ops[i].lane = schedule::Lane::compute;
    }
  EXPECT_EQ(rank_schedules(schedules, machine(1, 1, {1, 1})).front().schedule, 1U);
}

}  // namespace
}  // namespace ep::cost
