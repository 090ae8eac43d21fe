// The backward pass and the step: every strategy, direction, chunk and rank count.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <tuple>

#include <gmock/gmock.h>

#include "schedule/strategy.hpp"
#include "tests/unit/order.hpp"
#include "tests/unit/traffic.hpp"

namespace ep::schedule {
namespace {

using ::testing::ElementsAre;

Schedule built(const std::string& strategy, Direction direction, int ranks, const plan::LayerShape& shape) {
  const Strategy parsed = parse_strategy(strategy);
  return build(parsed, test::even_plan(ranks, 8, parsed.chunks), shape, direction);
}

Schedule built(const std::string& strategy, Direction direction, int ranks) {
  return built(strategy, direction, ranks, test::small_shape(16));
}

std::vector<std::string> names_in(const Schedule& schedule, Lane lane) {
  std::vector<std::string> names;
  for (const Operation& op : schedule.ops) {
    if (op.lane == lane) names.push_back(op.name);
  }
  return names;
}

int id_of(const Schedule& schedule, const std::string& name) {
  const auto found =
      std::find_if(schedule.ops.begin(), schedule.ops.end(), [&](const auto& op) { return op.name == name; });
  EXPECT_NE(found, schedule.ops.end()) << name;
  return found == schedule.ops.end() ? 0 : found->id;
}

using Parameters = std::tuple<std::string, Direction>;
class EveryDirection : public ::testing::TestWithParam<Parameters> {
 protected:
  [[nodiscard]] static Schedule make(int ranks, const plan::LayerShape& shape = test::small_shape(16)) {
    return built(std::get<0>(GetParam()), std::get<1>(GetParam()), ranks, shape);
  }
};
std::string name_of_case(const ::testing::TestParamInfo<Parameters>& info) {
  std::string name = std::get<0>(info.param) + "_" + std::string(name_of(std::get<1>(info.param)));
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c == ':' || c == '-' || c == '+'; }, '_');
  return name;
}
INSTANTIATE_TEST_SUITE_P(
    , EveryDirection,
    ::testing::Combine(::testing::Values("sequential", "sequential+defer-dw", "overlapped", "overlapped+defer-dw",
                                         "chunked:1", "chunked:2", "chunked:3", "chunked:5", "chunked:8", "chunked:16",
                                         "chunked:1+defer-dw", "chunked:2+defer-dw", "chunked:3+defer-dw",
                                         "chunked:5+defer-dw", "chunked:8+defer-dw", "chunked:16+defer-dw", "two-batch",
                                         "two-batch+defer-dw"),
                       ::testing::Values(Direction::forward, Direction::backward, Direction::step)),
    name_of_case);

TEST_P(EveryDirection, IsFreeOfRacesForAnyRankCount) {
  for (int ranks = 1; ranks <= 8; ++ranks) {
    for (const int shared_ffn : {0, 16}) {
      EXPECT_NO_THROW(validate(make(ranks, test::small_shape(shared_ffn))));
      EXPECT_NO_THROW(validate(make(ranks, test::fp8_shape(shared_ffn))));
    }
  }
}

/// Each kind once a chunk, also those of the other pass in a step.
void expect_once_a_chunk(const Schedule& schedule, const std::set<std::string>& wanted) {
  std::map<std::string, int> found;
  std::set<std::string> names;
  for (const Operation& op : schedule.ops) {
    if (op.kind == OpKind::shared || op.kind == OpKind::shared_dx || op.kind == OpKind::shared_dw) continue;
    ++found[std::string(name_of(op.kind))];
    EXPECT_TRUE(names.insert(op.name).second) << op.name << " twice";
  }
  for (const auto& [kind, count] : found) {
    EXPECT_TRUE(wanted.contains(kind)) << kind;
    EXPECT_EQ(count, kind == "counts" ? 1 : schedule.chunks) << kind;
  }
  EXPECT_EQ(found.size(), wanted.size());
}

TEST_P(EveryDirection, HoldsEveryOperationOnceAChunk) {
  const Direction direction = std::get<1>(GetParam());
  std::set<std::string> wanted;
  if (direction != Direction::backward)
    wanted = {"bucket", "counts", "pack",    "dispatch", "regroup", "gate_up",
              "swiglu", "down",   "ungroup", "combine",  "reduce"};
  if (direction != Direction::forward)
    wanted.insert({"gate.grad", "pack.grad", "dispatch.grad", "regroup.grad", "down.dx", "down.dw", "swiglu.grad",
                   "gate_up.dx", "gate_up.dw", "ungroup.grad", "combine.grad", "reduce.grad"});
  expect_once_a_chunk(make(2), wanted);
  if (direction != Direction::backward) wanted.insert("quantise");
  expect_once_a_chunk(make(2, test::fp8_shape(16)), wanted);
}

TEST_P(EveryDirection, DroppingAnyWaitIsDetected) {
  for (const plan::LayerShape& shape : {test::small_shape(16), test::fp8_shape(16)}) {
    const Schedule original = make(3, shape);
    for (std::size_t op = 0; op < original.ops.size(); ++op) {
      for (std::size_t wait = 0; wait < original.ops[op].waits.size(); ++wait) {
        Schedule broken = original;
        broken.ops[op].waits.erase(broken.ops[op].waits.begin() + static_cast<std::ptrdiff_t>(wait));
        EXPECT_TRUE(test::shows(broken)) << broken.ops[op].name << " no longer waits";
      }
    }
  }
}

TEST_P(EveryDirection, WeightGradientsAddUpFromChunkZero) {
  std::map<OpKind, int> next;
  for (const Operation& op : make(2).ops) {
    if (op.kind != OpKind::down_dw && op.kind != OpKind::gate_up_dw && op.kind != OpKind::shared_dw) continue;
    EXPECT_EQ(op.part, next[op.kind]++) << op.name;
  }
}

TEST(Backward, ComesWithTheForwardThatItNeeds) {
  const Schedule backward = built("chunked:3", Direction::backward, 2);
  ASSERT_NE(backward.needs, nullptr);
  EXPECT_EQ(backward.needs->direction, "forward");
  EXPECT_EQ(backward.needs->chunks, 3);
  EXPECT_EQ(built("chunked:3", Direction::step, 2).needs, nullptr);
}

TEST(Backward, TrafficIsTheForwards) {
  core::Matrix<std::int64_t> copies(2, 2);
  copies(0, 1) = 2;
  copies(1, 0) = 3;
  const Schedule schedule =
      build(parse_strategy("sequential"), test::plan_of(copies), test::small_shape(0), Direction::backward);
  const auto rows = [&](const char* name) {
    return *schedule.ops[static_cast<std::size_t>(id_of(schedule, name))].work.exchange.front().rows;
  };
  EXPECT_EQ(rows("dispatch.grad"), copies);
  EXPECT_EQ(rows("combine.grad"), core::transpose(copies));
}

TEST(Backward, GradientsTravelInTheCombineTypeWhereHiddenStatesAreFp8) {
  const Schedule schedule = built("sequential", Direction::step, 2, test::fp8_shape(0));
  const auto work = [&](const char* name) {
    return schedule.ops[static_cast<std::size_t>(id_of(schedule, name))].work;
  };
  EXPECT_EQ(work("dispatch").exchange.front().row_bytes, 80);
  EXPECT_EQ(work("dispatch.grad").exchange.front().row_bytes, 128);
  EXPECT_EQ(work("pack.grad").memory.front().bytes.front(), (16 + 16) * 128);
  EXPECT_EQ(work("regroup.grad").memory.front().bytes.front(), 16 * 2 * 128);
  EXPECT_EQ(work("regroup.grad").memory.front().kernel, OpKind::regroup_grad) << "regroup dequantises";
  EXPECT_EQ(work("gate.grad").memory.front().bytes.front(), (16 + 16) * 128);
}

TEST(Backward, EveryGemmHasItsTwoGradients) {
  const Schedule schedule = built("sequential", Direction::step, 2);
  const auto gemm = [&](const char* name) {
    const GemmWork& work = schedule.ops[static_cast<std::size_t>(id_of(schedule, name))].work.gemm.front();
    return std::tuple(work.n, work.k, work.weight_grad);
  };
  EXPECT_EQ(gemm("gate_up"), std::tuple(64, 64, false));
  EXPECT_EQ(gemm("gate_up.dx"), std::tuple(64, 64, false));
  EXPECT_EQ(gemm("gate_up.dw"), std::tuple(64, 64, true));
  EXPECT_EQ(gemm("down"), std::tuple(64, 32, false));
  EXPECT_EQ(gemm("down.dx"), std::tuple(32, 64, false));
  EXPECT_EQ(gemm("down.dw"), std::tuple(64, 32, true));
}

TEST(Backward, DeferredWeightGradientsFollowTheCombineTheyWouldDelay) {
  const Schedule plain = built("overlapped", Direction::backward, 2);
  const Schedule deferred = built("overlapped+defer-dw", Direction::backward, 2);
  EXPECT_LT(id_of(plain, "gate_up.dw"), id_of(plain, "combine.grad"));
  EXPECT_GT(id_of(deferred, "down.dw"), id_of(deferred, "combine.grad"));
  EXPECT_TRUE(deferred.ops[static_cast<std::size_t>(id_of(deferred, "down.dw"))].waits.empty());
  EXPECT_THAT(names_in(built("chunked:2+defer-dw", Direction::backward, 2), Lane::comm),
              ElementsAre("dispatch.grad[0]", "dispatch.grad[1]", "combine.grad[0]", "combine.grad[1]"));
}

}  // namespace
}  // namespace ep::schedule
