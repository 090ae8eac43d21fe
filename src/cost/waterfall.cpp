#include "cost/waterfall.hpp"

#include <limits>
#include <numeric>

namespace ep::cost {

namespace {

constexpr double kUnbounded = std::numeric_limits<double>::infinity();

/// 0 means that there is no such limit, and stays.
void unbind(Line& line) {
  if (line.gbs > 0) line.gbs = kUnbounded;
  line.points.clear();
}

/// Links that cost their latency alone.
Machine without_transfer(Machine machine) {
  for (Line* line :
       {&machine.in_node, &machine.between_nodes, &machine.node_memory, &machine.node_nic, &machine.fabric})
    unbind(*line);
  for (auto& [kind, line] : machine.memory) {
    if (schedule::is_exchange(kind)) unbind(line);
  }
  for (auto& [rank, own] : machine.ranks) {
    if (own.in_node) unbind(*own.in_node);
    if (own.between_nodes) unbind(*own.between_nodes);
  }
  return machine;
}

/// Kernels that cost their launch alone, GEMMs nothing.
Machine without_compute(Machine machine) {
  unbind(machine.own_memory);
  for (auto& [kind, line] : machine.memory) {
    if (!schedule::is_exchange(kind)) unbind(line);
  }
  for (GemmCurve& curve : machine.gemm) {
    for (Point& point : curve.points) point.us = 0;
  }
  return machine;
}

std::vector<OperationCost> price(const schedule::Schedule& schedule, const Machine& machine) {
  std::vector<OperationCost> costs;
  for (const schedule::Operation& op : schedule.ops) costs.push_back(operation_cost(op, machine));
  return costs;
}

std::vector<OperationCost> balanced(std::vector<OperationCost> costs) {
  for (OperationCost& cost : costs) {
    const double sum = std::accumulate(cost.rank_us.begin(), cost.rank_us.end(), 0.0);
    cost.rank_us.assign(cost.rank_us.size(), sum / static_cast<double>(cost.rank_us.size()));
    cost.flows.reset();
  }
  return costs;
}

}  // namespace

Waterfall waterfall(const schedule::Schedule& schedule, const Machine& machine, const Prediction& prediction) {
  const auto total_us = [&](const std::vector<OperationCost>& costs) {
    return schedule::iteration_us(walk(schedule, costs, {}));
  };
  const Machine no_transfer = without_transfer(machine);
  const double latency_us = total_us(balanced(price(schedule, without_compute(no_transfer))));
  const double compute_us = total_us(balanced(price(schedule, no_transfer)));
  const double transfer_us = total_us(balanced(prediction.operations));
  const double skew_us = total_us(prediction.operations);
  return {.latency_us = latency_us,
          .compute_us = compute_us - latency_us,
          .transfer_us = transfer_us - compute_us,
          .skew_us = skew_us - transfer_us,
          .contention_us = prediction.total_us - skew_us};
}

}  // namespace ep::cost
