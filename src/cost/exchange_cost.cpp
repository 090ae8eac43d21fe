#include "cost/exchange_cost.hpp"

#include <algorithm>

namespace ep::cost {

namespace {

constexpr const char* kNodeMemory = "node memory";

/// What passes through the resources of the machine, summed up over the traffic matrix.
struct Load {
  explicit Load(const Machine& machine)
      : egress_us(static_cast<std::size_t>(machine.topology.ranks())),
        ingress_us(egress_us.size()),
        in_node(egress_us.size()),
        between(egress_us.size()),
        node_memory_bytes(static_cast<std::size_t>(machine.topology.nodes)),
        node_egress_bytes(node_memory_bytes.size()),
        node_ingress_bytes(node_memory_bytes.size()) {}

  void add(const Machine& machine, int source, int destination, double bytes) {
    const auto s = static_cast<std::size_t>(source);
    const auto d = static_cast<std::size_t>(destination);
    const bool same_node = machine.topology.same_node(source, destination);
    const auto from = static_cast<std::size_t>(machine.topology.node_of_rank[s]);
    const auto to = static_cast<std::size_t>(machine.topology.node_of_rank[d]);
    const Line& link = same_node ? machine.in_node : machine.between_nodes;
    egress_us[s] += link.time_us(bytes, same_node ? 1 : machine.scale_of(static_cast<int>(from)).egress);
    ingress_us[d] += link.time_us(bytes, same_node ? 1 : machine.scale_of(static_cast<int>(to)).ingress);
    auto& touched = same_node ? in_node : between;
    touched[s] = touched[d] = true;
    if (same_node) {
      node_memory_bytes[from] += bytes;
    } else {
      node_egress_bytes[from] += bytes;
      node_ingress_bytes[to] += bytes;
    }
  }

  std::vector<double> egress_us, ingress_us;  // [ranks]
  std::vector<bool> in_node, between;         // [ranks] does it send or receive on this tier
  std::vector<double> node_memory_bytes, node_egress_bytes, node_ingress_bytes;  // [nodes]
};

double through(double bytes, const Line& line, double scale = 1) {
  return line.gbs > 0 && bytes > 0 ? line.time_us(bytes, scale) : 0;
}

std::vector<ResourceUse> node_uses(const Load& load, const Machine& machine, std::size_t node) {
  const int index = static_cast<int>(node);
  const LinkScale scale = machine.scale_of(index);
  return {{kNodeMemory, index, through(load.node_memory_bytes[node], machine.node_memory)},
          {"node egress", index, through(load.node_egress_bytes[node], machine.node_nic, scale.egress)},
          {"node ingress", index, through(load.node_ingress_bytes[node], machine.node_nic, scale.ingress)}};
}

void add_busy(std::vector<ResourceUse>& uses, const ResourceUse& use) {
  if (use.busy_us > 0) uses.push_back(use);
}

}  // namespace

ExchangeCost exchange_cost(const core::Matrix<std::int64_t>& rows, std::int64_t row_bytes, const Machine& machine) {
  Load load(machine);
  const int ranks = machine.topology.ranks();
  for (int source = 0; source < ranks; ++source) {
    for (int destination = 0; destination < ranks; ++destination) {
      const std::int64_t count = rows(source, destination);
      if (source != destination && count > 0) {
        load.add(machine, source, destination, static_cast<double>(count) * static_cast<double>(row_bytes));
      }
    }
  }
  ExchangeCost cost;
  std::vector<double> memory_us(load.node_memory_bytes.size());
  std::vector<double> nic_us(memory_us.size());
  for (std::size_t node = 0; node < memory_us.size(); ++node) {
    for (const ResourceUse& use : node_uses(load, machine, node)) {
      double& slowest = (use.resource == kNodeMemory ? memory_us : nic_us)[node];
      slowest = std::max(slowest, use.busy_us);
      add_busy(cost.uses, use);
    }
  }
  for (int rank = 0; rank < ranks; ++rank) {
    const auto r = static_cast<std::size_t>(rank);
    const auto node = static_cast<std::size_t>(machine.topology.node_of_rank[r]);
    add_busy(cost.uses, {"egress", rank, load.egress_us[r]});
    add_busy(cost.uses, {"ingress", rank, load.ingress_us[r]});
    // A node's resources hold up those of its ranks that use them.
    cost.rank_us.push_back(std::max({load.egress_us[r], load.ingress_us[r], load.in_node[r] ? memory_us[node] : 0,
                                     load.between[r] ? nic_us[node] : 0}));
  }
  std::stable_sort(cost.uses.begin(), cost.uses.end(),
                   [](const ResourceUse& a, const ResourceUse& b) { return a.busy_us > b.busy_us; });
  if (!cost.uses.empty()) cost.total_us = cost.uses.front().busy_us;
  return cost;
}

}  // namespace ep::cost
