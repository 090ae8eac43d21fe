#pragma once
#include <memory>
#include <string>
#include <vector>

#include "cost/exchange_cost.hpp"
#include "cost/flows.hpp"
#include "cost/machine.hpp"
#include "schedule/schedule.hpp"

namespace ep::cost {

/// Price of one operation with nothing beside it.
struct OperationCost {
  std::vector<double> rank_us;    // [ranks]
  std::vector<ResourceUse> uses;  // "compute" and "memory" of each rank, the exchange's, or "latency"; busiest first
  std::shared_ptr<const Flows> flows;  // of an exchange of known messages between at most kMostFlowRanks ranks
};

/// Beyond, ranks are taken to begin an exchange together: messages grow with the square of the ranks.
constexpr int kMostFlowRanks = 64;

/// Sums the parts of `op.work`: memory by bytes / bandwidth of its kernel, GEMM by the curve of its (n, k), exchanges
/// by exchange_cost. Throws Error (internal) when the machine lacks a constant it needs.
OperationCost operation_cost(const schedule::Operation& op, const Machine& machine);

}  // namespace ep::cost
