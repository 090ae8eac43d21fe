#include "cost/exchange_cost.hpp"

#include <algorithm>

namespace ep::cost {

namespace {

/// What one end of a rank's links is busy with: the tiers one after the other, or beside each other where the machine
/// has a port for each.
/// @param scale of the links to other nodes, this way.
double port_us(const plan::TierLoad& within, const plan::TierLoad& between, double row_bytes, const Machine& machine,
               int rank, double scale) {
  const auto time = [&](const plan::TierLoad& load, const Line& line, double faster) {
    if (load.messages <= 0) return 0.0;
    return line.start_us + line.latency_us * load.messages +
           line.transfer_us(load.rows * row_bytes, load.messages) / faster;
  };
  const double within_us = time(within, machine.link(rank, true), 1);
  const double between_us = time(between, machine.link(rank, false), scale);
  return machine.links_at_once ? std::max(within_us, between_us) : within_us + between_us;
}

/// Bytes through the resources that a node's ranks share; through its links as a typical link would have them.
struct NodeBytes {
  double memory = 0;
  double egress = 0;
  double ingress = 0;
};

std::vector<NodeBytes> node_bytes(const plan::ExchangeLoads& loads, double row_bytes, const Machine& machine) {
  std::vector<NodeBytes> nodes(static_cast<std::size_t>(machine.topology.nodes));
  for (std::size_t rank = 0; rank < loads.size(); ++rank) {
    const int index = machine.topology.node_of_rank[rank];
    NodeBytes& node = nodes[static_cast<std::size_t>(index)];
    node.memory += loads[rank].out_within.rows * row_bytes;
    node.egress += loads[rank].out_between.rows * row_bytes / machine.scale_of(index).egress;
    node.ingress += loads[rank].in_between.rows * row_bytes / machine.scale_of(index).ingress;
  }
  return nodes;
}

NodeBytes mean_of(const std::vector<NodeBytes>& nodes) {
  NodeBytes mean;
  const auto count = static_cast<double>(nodes.size());
  for (const NodeBytes& node : nodes) {
    mean.memory += node.memory / count;
    mean.egress += node.egress / count;
    mean.ingress += node.ingress / count;
  }
  return mean;
}

void add_busy(std::vector<ResourceUse>& uses, const ResourceUse& use) {
  if (use.busy_us > 0) uses.push_back(use);
}

}  // namespace

std::vector<NodeTimes> node_times(const plan::ExchangeLoads& loads, std::int64_t row_bytes, const Machine& machine,
                                  std::optional<schedule::OpKind> exchange) {
  const std::vector<NodeBytes> nodes = node_bytes(loads, static_cast<double>(row_bytes), machine);
  const NodeBytes even = mean_of(nodes);
  std::vector<NodeTimes> times;
  for (const NodeBytes& own : nodes)
    times.push_back({machine.node_memory_of(exchange).shared_us(own.memory), machine.nic_us(own.egress, even.egress),
                     machine.nic_us(own.ingress, even.ingress)});
  return times;
}

ExchangeCost exchange_cost(const plan::ExchangeLoads& loads, std::int64_t row_bytes, const Machine& machine,
                           std::optional<schedule::OpKind> exchange) {
  const auto bytes = static_cast<double>(row_bytes);
  const std::vector<NodeTimes> nodes = node_times(loads, row_bytes, machine, exchange);
  ExchangeCost cost;
  for (std::size_t node = 0; node < nodes.size(); ++node) {
    const int index = static_cast<int>(node);
    add_busy(cost.uses, {"node memory", index, nodes[node].memory_us});
    add_busy(cost.uses, {"node egress", index, nodes[node].egress_us});
    add_busy(cost.uses, {"node ingress", index, nodes[node].ingress_us});
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
    const double nic_us = std::max(nodes[node].egress_us, nodes[node].ingress_us);
    cost.rank_us.push_back(std::max({egress_us, ingress_us, within ? nodes[node].memory_us : 0, between ? nic_us : 0}));
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
