#include "cost/exchange_cost.hpp"

#include <algorithm>

namespace ep::cost {

namespace {

constexpr const char* kNodeMemory = "node memory";

/// What one end of a rank's links is busy with: the tiers one after the other, or beside each other where the machine
/// has a port for each.
/// @param scale of the links to other nodes, this way.
double port_us(const plan::TierLoad& within, const plan::TierLoad& between, double row_bytes, const Machine& machine,
               int rank, double scale) {
  const auto time = [&](const plan::TierLoad& load, const Line& line, double faster) {
    if (load.messages <= 0) return 0.0;
    return line.start_us + line.latency_us * load.messages + line.transfer_us(load.rows * row_bytes) / faster;
  };
  const double within_us = time(within, machine.link(rank, true), 1);
  const double between_us = time(between, machine.link(rank, false), scale);
  return machine.links_at_once ? std::max(within_us, between_us) : within_us + between_us;
}

/// Rows through the resources that a node's ranks share.
struct NodeRows {
  double memory = 0;
  double egress = 0;
  double ingress = 0;
};

std::vector<NodeRows> node_rows(const plan::ExchangeLoads& loads, const placement::Topology& topology) {
  std::vector<NodeRows> nodes(static_cast<std::size_t>(topology.nodes));
  for (std::size_t rank = 0; rank < loads.size(); ++rank) {
    NodeRows& node = nodes[static_cast<std::size_t>(topology.node_of_rank[rank])];
    node.memory += loads[rank].out_within.rows;
    node.egress += loads[rank].out_between.rows;
    node.ingress += loads[rank].in_between.rows;
  }
  return nodes;
}

double through(double bytes, const Line& line, double scale = 1) {
  return line.gbs > 0 && bytes > 0 ? line.time_us(bytes, scale) : 0;
}

std::vector<ResourceUse> node_uses(const NodeRows& rows, double row_bytes, const Machine& machine, std::size_t node,
                                   const Line& memory) {
  const int index = static_cast<int>(node);
  const LinkScale scale = machine.scale_of(index);
  return {{kNodeMemory, index, through(rows.memory * row_bytes, memory)},
          {"node egress", index, through(rows.egress * row_bytes, machine.node_nic, scale.egress)},
          {"node ingress", index, through(rows.ingress * row_bytes, machine.node_nic, scale.ingress)}};
}

void add_busy(std::vector<ResourceUse>& uses, const ResourceUse& use) {
  if (use.busy_us > 0) uses.push_back(use);
}

}  // namespace

ExchangeCost exchange_cost(const plan::ExchangeLoads& loads, std::int64_t row_bytes, const Machine& machine,
                           std::optional<schedule::OpKind> exchange) {
  const auto bytes = static_cast<double>(row_bytes);
  const std::vector<NodeRows> nodes = node_rows(loads, machine.topology);
  ExchangeCost cost;
  std::vector<double> memory_us(nodes.size());
  std::vector<double> nic_us(nodes.size());
  for (std::size_t node = 0; node < nodes.size(); ++node) {
    for (const ResourceUse& use : node_uses(nodes[node], bytes, machine, node, machine.node_memory_of(exchange))) {
      double& slowest = (use.resource == kNodeMemory ? memory_us : nic_us)[node];
      slowest = std::max(slowest, use.busy_us);
      add_busy(cost.uses, use);
    }
  }
  for (int rank = 0; rank < machine.topology.ranks(); ++rank) {
    const plan::RankLoad& load = loads[static_cast<std::size_t>(rank)];
    const auto node = static_cast<std::size_t>(machine.topology.node_of_rank[static_cast<std::size_t>(rank)]);
    const LinkScale scale = machine.scale_of(static_cast<int>(node));
    const double egress_us = port_us(load.out_within, load.out_between, bytes, machine, rank, scale.egress);
    const double ingress_us = port_us(load.in_within, load.in_between, bytes, machine, rank, scale.ingress);
    add_busy(cost.uses, {"egress", rank, egress_us});
    add_busy(cost.uses, {"ingress", rank, ingress_us});
    // A node's resources hold up those of its ranks that use them.
    const bool within = load.out_within.rows + load.in_within.rows > 0;
    const bool between = load.out_between.rows + load.in_between.rows > 0;
    cost.rank_us.push_back(std::max({egress_us, ingress_us, within ? memory_us[node] : 0, between ? nic_us[node] : 0}));
  }
  std::stable_sort(cost.uses.begin(), cost.uses.end(),
                   [](const ResourceUse& a, const ResourceUse& b) { return a.busy_us > b.busy_us; });
  if (!cost.uses.empty()) cost.total_us = cost.uses.front().busy_us;
  return cost;
}

ExchangeCost exchange_cost(const core::Matrix<std::int64_t>& rows, std::int64_t row_bytes, const Machine& machine,
                           std::optional<schedule::OpKind> exchange) {
  return exchange_cost(plan::loads_of(rows, machine.topology), row_bytes, machine, exchange);
}

}  // namespace ep::cost
