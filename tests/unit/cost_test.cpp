#include <algorithm>
#include <numeric>

#include <gtest/gtest.h>

#include "core/error.hpp"
#include "cost/exchange_cost.hpp"
#include "cost/predict.hpp"
#include "schedule/strategy.hpp"
#include "tests/unit/traffic.hpp"

namespace ep::cost {
namespace {

/// Round numbers: 1 GB/s is 1000 bytes a microsecond.
Machine machine(int ranks, int ranks_per_node = 64) {
  Machine m;
  m.topology = placement::block_topology(ranks, ranks_per_node);
  m.in_node = {1, 10};
  m.between_nodes = {5, 1};
  m.counts_us = 7;
  using enum schedule::OpKind;
  for (const schedule::OpKind kernel :
       {bucket, pack, regroup, swiglu, ungroup, reduce, pack_grad, gate_grad, swiglu_grad})
    m.memory[kernel] = {2, 1};
  m.gemm = {{64, 64, {{8, 10}, {16, 20}}}, {64, 64, {{8, 30}, {16, 60}}, true}};
  return m;
}

core::Matrix<std::int64_t> matrix(int ranks, std::initializer_list<std::int64_t> values) {
  core::Matrix<std::int64_t> m(ranks, ranks);
  std::copy(values.begin(), values.end(), m.values().begin());
  return m;
}

TEST(ExchangeCost, BusiestRankEndDecides) {
  // Rank 2 receives 40 kB in two messages: 2 * 1 us + 40000 / 10000.
  const ExchangeCost cost = exchange_cost(matrix(3, {9, 1, 2, 0, 9, 2, 0, 0, 9}), 10000, machine(3));
  EXPECT_DOUBLE_EQ(cost.total_us, 6);
  EXPECT_EQ(cost.uses[0].resource, "ingress");
  EXPECT_EQ(cost.uses[0].index, 2);
  EXPECT_EQ(cost.uses[1].resource, "egress");
  EXPECT_EQ(cost.uses[1].index, 0);
  EXPECT_DOUBLE_EQ(cost.uses[1].busy_us, 5);
  EXPECT_EQ(cost.rank_us, (std::vector<double>{5, 3, 6}));
}

TEST(ExchangeCost, OwnRowsAndSilentRanksCostNothing) {
  const ExchangeCost cost = exchange_cost(matrix(2, {1000, 0, 0, 1000}), 1 << 20, machine(2));
  EXPECT_EQ(cost.total_us, 0);
  EXPECT_EQ(cost.rank_us, (std::vector<double>{0, 0}));
}

TEST(ExchangeCost, NodeMemoryBindsWhenAllCopyThroughIt) {
  Machine m = machine(4);
  m.node_memory = {3, 5};
  // 12 messages of 10 kB through 5 GB/s, and 3 us: 27 us; a rank's own links would take 3 * (1 + 1) us.
  const ExchangeCost cost = exchange_cost(core::Matrix<std::int64_t>(4, 4, 1), 10000, m);
  EXPECT_DOUBLE_EQ(cost.total_us, 27);
  EXPECT_EQ(cost.uses[0].resource, "node memory");
}

TEST(ExchangeCost, NicIsSharedByTheRanksOfANode) {
  Machine m = machine(4, 2);
  m.node_nic = {0, 1};
  // Each node sends 4 x 10 kB to the other: 40 us; a rank's link carries half: 2 * (5 + 10) + 1 + 1.
  const ExchangeCost cost = exchange_cost(core::Matrix<std::int64_t>(4, 4, 1), 10000, m);
  EXPECT_DOUBLE_EQ(cost.total_us, 40);
  EXPECT_TRUE(cost.uses[0].resource == "node egress" || cost.uses[0].resource == "node ingress");
  EXPECT_DOUBLE_EQ(cost.uses[1].busy_us, 40);
}

TEST(ExchangeCost, FabricHoldsUpWhatAllNodesHaveAlike) {
  Machine m = machine(4, 1);
  m.between_nodes = m.node_nic = {0, 1};
  m.fabric = {0, 0.5};
  core::Matrix<std::int64_t> rows(4, 4, 1);
  EXPECT_DOUBLE_EQ(exchange_cost(rows, 10000, m).total_us, 60);  // 3 x 10 kB at half the link's pace
  // Rank 0 sends 130 kB, the mean is (130 + 3 * 30) / 4 = 55: 110 us for that, 130 for all at the link's own pace.
  rows(0, 1) = 11;
  const ExchangeCost skewed = exchange_cost(rows, 10000, m);
  EXPECT_DOUBLE_EQ(skewed.total_us, 130);
  EXPECT_DOUBLE_EQ(skewed.rank_us[3], 60);
  // From one to one alone: 10 of 40 kB is less than the link takes.
  EXPECT_DOUBLE_EQ(exchange_cost(matrix(4, {0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}), 10000, m).total_us, 40);
}

TEST(ExchangeCost, ASlowLinkHoldsUpWhatPassesIt) {
  Machine m = machine(3, 1);
  m.link_scale = {{1, 1}, {0.5, 1}, {1, 1}};
  // Everyone sends 10 kB to two others, 5 us and 10 us each; rank 1's link takes 20 us for each that leaves it.
  const ExchangeCost cost = exchange_cost(core::Matrix<std::int64_t>(3, 3, 1), 10000, m);
  EXPECT_DOUBLE_EQ(cost.total_us, 50);
  EXPECT_EQ(cost.uses[0].resource, "egress");
  EXPECT_EQ(cost.uses[0].index, 1);
  EXPECT_EQ(cost.rank_us, (std::vector<double>{30, 50, 30}));
}

TEST(ExchangeCost, OfAKnownExchangeTakesItsOwnNodeMemory) {
  Machine m = machine(4);
  m.in_node = {0, 1000};
  m.node_memory = {3, 1};
  m.memory[schedule::OpKind::combine] = {5, 0.5};
  const core::Matrix<std::int64_t> rows(4, 4, 1);  // 12 rows of 1000 bytes
  EXPECT_DOUBLE_EQ(exchange_cost(rows, 1000, m).total_us, 3 + 12);
  EXPECT_DOUBLE_EQ(exchange_cost(rows, 1000, m, schedule::OpKind::dispatch).total_us, 3 + 12);
  EXPECT_DOUBLE_EQ(exchange_cost(rows, 1000, m, schedule::OpKind::combine).total_us, 5 + 24);
}

TEST(Line, GoesThroughItsPointsAndBeyond) {
  const Line line{2, 1000, 0, {{100, 4}, {200, 10}}};
  EXPECT_DOUBLE_EQ(line.time_us(0), 2);
  EXPECT_DOUBLE_EQ(line.time_us(50), 3);
  EXPECT_DOUBLE_EQ(line.time_us(100), 4);
  EXPECT_DOUBLE_EQ(line.time_us(150), 7);
  EXPECT_DOUBLE_EQ(line.time_us(400), 22);
  EXPECT_DOUBLE_EQ(line.transfer_us(150), 5);
  EXPECT_DOUBLE_EQ(line.transfer_us(300, 2), 10);  // two messages of 150
}

TEST(GemmCurve, IsLinearBetweenPointsAndBeyond) {
  const GemmCurve curve{64, 64, {{8, 10}, {16, 30}}};
  EXPECT_DOUBLE_EQ(curve.time_us(8), 10);
  EXPECT_DOUBLE_EQ(curve.time_us(12), 20);
  EXPECT_DOUBLE_EQ(curve.time_us(24), 50);
  EXPECT_DOUBLE_EQ(curve.time_us(0), 0);
  EXPECT_GT(curve.time_us(1), 5);  // the weights are read whole for one row too
}

plan::LayerShape shape(int shared_ffn) {
  return {64, 32, shared_ffn, core::DType::bf16, core::DType::bf16};
}

Prediction predicted(const std::string& strategy, const plan::Plan& plan, const Machine& m, int shared_ffn = 32) {
  return predict(schedule::build(schedule::parse_strategy(strategy), plan, shape(shared_ffn)), m);
}

double sum_alone(const Prediction& prediction) {
  double sum = 0;
  for (const OperationCost& cost : prediction.operations)
    sum += *std::max_element(cost.rank_us.begin(), cost.rank_us.end());
  return sum;
}

TEST(Predict, SequentialIsTheSumOfItsSteps) {
  const Prediction prediction = predicted("sequential", test::even_plan(2, 8), machine(2));
  EXPECT_NEAR(prediction.total_us, sum_alone(prediction), 1e-9);
}

TEST(Predict, OverlapHidesTheShorterSide) {
  Machine m = machine(2);
  m.in_node = {0, 0.01};  // an exchange of 8 rows of 128 bytes takes 102.4 us
  const Prediction sequential = predicted("sequential", test::even_plan(2, 8), m);
  const Prediction overlapped = predicted("overlapped", test::even_plan(2, 8), m);
  double shared = 0;
  const auto schedule = schedule::build(schedule::parse_strategy("overlapped"), test::even_plan(2, 8), shape(32));
  for (const auto& op : schedule.ops) {
    if (op.kind == schedule::OpKind::shared)
      shared += overlapped.operations[static_cast<std::size_t>(op.id)].rank_us[0];
  }
  EXPECT_GT(shared, 0);
  EXPECT_NEAR(overlapped.total_us, sum_alone(overlapped) - shared, 1e-9);
  EXPECT_LT(overlapped.total_us, sequential.total_us);
}

TEST(Predict, FullInterferenceTakesTheGainAway) {
  Machine m = machine(2);
  m.in_node = {0, 0.01};
  m.interference = {2, 2};  // each at half speed: as if one core did both
  const Prediction overlapped = predicted("overlapped", test::even_plan(2, 8), m);
  EXPECT_NEAR(overlapped.total_us, sum_alone(overlapped), 1e-9);
}

/// What was timed from the last rank's start on one node has in it what moved before.
TEST(OperationCost, HasFlowsUnlessTheExchangeWasTimedAsAWhole) {
  Machine m = machine(2);
  const auto schedule = schedule::build(schedule::parse_strategy("sequential"), test::even_plan(2, 8), shape(0));
  const auto& dispatch = *std::find_if(schedule.ops.begin(), schedule.ops.end(),
                                       [](const auto& op) { return op.kind == schedule::OpKind::dispatch; });
  EXPECT_NE(operation_cost(dispatch, m).flows, nullptr);
  m.memory[schedule::OpKind::dispatch] = {0, 1};
  EXPECT_EQ(operation_cost(dispatch, m).flows, nullptr);
  m.topology = placement::block_topology(2, 1);
  EXPECT_NE(operation_cost(dispatch, m).flows, nullptr);
}

/// Where an exchange waits for a rank that is late: every rank begins when it arrives, and none is through before.
TEST(Predict, AnExchangeEndsAfterItsLastRankArrives) {
  core::Matrix<std::int64_t> copies(2, 2, 8);
  copies(0, 0) = 800;  // rank 0 has far more to pack
  const auto plan = test::plan_of(copies);
  const auto schedule = schedule::build(schedule::parse_strategy("sequential"), plan, shape(0));
  const Prediction prediction = predict(schedule, machine(2));
  const auto dispatch = std::find_if(schedule.ops.begin(), schedule.ops.end(),
                                     [](const auto& op) { return op.kind == schedule::OpKind::dispatch; });
  std::vector<schedule::Span> spans;
  std::vector<double> pack_ends;
  for (const auto& span : prediction.timeline.spans) {
    if (span.op == dispatch->id) spans.push_back(span);
    if (span.op == dispatch->id - 1) pack_ends.push_back(span.end_us);
  }
  ASSERT_EQ(spans.size(), 2U);
  const auto& alone = prediction.operations[static_cast<std::size_t>(dispatch->id)].rank_us;
  for (std::size_t rank = 0; rank < 2; ++rank) {
    EXPECT_DOUBLE_EQ(spans[rank].start_us, pack_ends[rank]);
    EXPECT_DOUBLE_EQ(spans[rank].end_us, pack_ends[0] + alone[rank]);
  }
  EXPECT_GT(pack_ends[0], pack_ends[1]);
}

TEST(Predict, OneRankExchangesNothing) {
  const Prediction prediction = predicted("sequential", test::even_plan(1, 8), machine(1));
  for (const auto& span : prediction.timeline.spans) {
    if (span.lane != schedule::Lane::compute) {
      EXPECT_EQ(span.end_us, span.start_us);
    }
  }
}

TEST(Predict, SaysWhichConstantIsMissing) {
  Machine m = machine(2);
  m.memory.erase(schedule::OpKind::pack);
  EXPECT_THROW(predicted("sequential", test::even_plan(2, 8), m), core::Error);
}

/// Every operation of a step has a price on ranks that have rows, and a weight gradient its own curve.
TEST(OperationCost, PricesBothPasses) {
  const plan::LayerShape shape{64, 32, 16, core::DType::bf16, core::DType::bf16};
  const auto schedule =
      build(schedule::parse_strategy("sequential"), test::even_plan(2, 8), shape, schedule::Direction::step);
  double forward_us = 0;
  for (const schedule::Operation& op : schedule.ops) {
    const OperationCost cost = operation_cost(op, machine(2));
    EXPECT_GT(cost.rank_us[0], 0) << op.name;
    if (op.kind == schedule::OpKind::gate_up) forward_us = cost.rank_us[0];
    if (op.kind == schedule::OpKind::gate_up_dx) {
      EXPECT_DOUBLE_EQ(cost.rank_us[0], forward_us);
    }
    if (op.kind == schedule::OpKind::gate_up_dw) {
      EXPECT_DOUBLE_EQ(cost.rank_us[0], 3 * forward_us);
    }
  }
  EXPECT_GT(forward_us, 0);
}

TEST(OperationCost, PricesGradientsWhereOnlyTheForwardPassWasMeasured) {
  Machine m = machine(2);
  using enum schedule::OpKind;
  for (const schedule::OpKind kernel : {pack_grad, gate_grad, swiglu_grad}) m.memory.erase(kernel);
  m.gemm.pop_back();
  const plan::LayerShape shape{64, 32, 16, core::DType::bf16, core::DType::bf16};
  const auto schedule =
      build(schedule::parse_strategy("sequential"), test::even_plan(2, 8), shape, schedule::Direction::backward);
  for (const schedule::Operation& op : schedule.ops) EXPECT_GT(operation_cost(op, m).rank_us[0], 0) << op.name;
}

/// A cluster file calibrated in bf16 prices fp8 too.
TEST(OperationCost, PricesFp8WhereItWasNotMeasured) {
  const auto schedule = build(schedule::parse_strategy("sequential"), test::even_plan(2, 8), test::fp8_shape(16),
                              schedule::Direction::step);
  for (const schedule::Operation& op : schedule.ops) EXPECT_GT(operation_cost(op, machine(2)).rank_us[0], 0) << op.name;
}

}  // namespace
}  // namespace ep::cost
