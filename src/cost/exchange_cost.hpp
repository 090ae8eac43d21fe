#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/matrix.hpp"
#include "cost/machine.hpp"
#include "plan/loads.hpp"

namespace ep::cost {

/// Busy time of one resource during an exchange.
struct ResourceUse {
  std::string resource;  // "egress", "ingress" (of a rank); "node memory", "node egress", "node ingress"
  int index = 0;         // rank or node, -1: none in particular
  double busy_us = 0;
};

/// Price of one all-to-all.
struct ExchangeCost {
  std::vector<double> rank_us;    // [ranks] until the rank has sent and received everything
  double total_us = 0;            // of the slowest rank
  std::vector<ResourceUse> uses;  // every resource that is busy at all, busiest first: uses[0] is the bottleneck
};

/// How long what a node's ranks share is busy with one all-to-all.
struct NodeTimes {
  double memory_us = 0;
  double egress_us = 0;
  double ingress_us = 0;
};

/// [nodes] Each node's memory, through which its ranks' copies pass together, and its NICs, each way, alone or in the
/// crowd of all (Machine::nic_us). Parameters as of exchange_cost.
std::vector<NodeTimes> node_times(const plan::ExchangeLoads& loads, std::int64_t row_bytes, const Machine& machine,
                                  std::optional<schedule::OpKind> exchange = std::nullopt);

/// T = max over resources of (latency * messages + bytes / bandwidth), the resources being each rank's egress and
/// ingress (on a link as fast as its node's is, Machine::link_scale) and those of node_times. Where a link has points,
/// messages count as if all were of their mean size. Derived in docs/cost-model.md. Linear in ranks.
/// @param exchange which of the layer's it is; none: any.
ExchangeCost exchange_cost(const plan::ExchangeLoads& loads, std::int64_t row_bytes, const Machine& machine,
                           std::optional<schedule::OpKind> exchange = std::nullopt);

/// The same from a traffic matrix. Quadratic in ranks.
/// @param rows [ranks, ranks] rows that rank s sends to rank d; the diagonal costs nothing.
ExchangeCost exchange_cost(const core::Matrix<std::int64_t>& rows, std::int64_t row_bytes, const Machine& machine,
                           std::optional<schedule::OpKind> exchange = std::nullopt);

}  // namespace ep::cost
