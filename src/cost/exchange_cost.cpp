#include "cost/exchange_cost.hpp"

#include <algorithm>
#include <utility>

namespace ep::cost {

namespace {

/// What passes through the resources of the machine, summed up over the traffic matrix.
struct Load {
  explicit Load(const Machine& machine)
      : egress_us(static_cast<std::size_t>(machine.topology.ranks())),
        ingress_us(egress_us.size()),
        node_memory_bytes(static_cast<std::size_t>(machine.topology.nodes)),
        node_egress_bytes(node_memory_bytes.size()),
        node_ingress_bytes(node_memory_bytes.size()) {}

  void add(const Machine& machine, int source, int destination, double bytes) {
    const auto s = static_cast<std::size_t>(source);
    const auto d = static_cast<std::size_t>(destination);
    const bool in_node = machine.topology.same_node(source, destination);
    const double time = (in_node ? machine.in_node : machine.between_nodes).time_us(bytes);
    egress_us[s] += time;
    ingress_us[d] += time;
    const auto from = static_cast<std::size_t>(machine.topology.node_of_rank[s]);
    const auto to = static_cast<std::size_t>(machine.topology.node_of_rank[d]);
    if (in_node) {
      node_memory_bytes[from] += bytes;
    } else {
      node_egress_bytes[from] += bytes;
      node_ingress_bytes[to] += bytes;
    }
  }

  std::vector<double> egress_us, ingress_us;                                     // [ranks]
  std::vector<double> node_memory_bytes, node_egress_bytes, node_ingress_bytes;  // [nodes]
};

double through(double bytes, const Line& line) {
  return line.gbs > 0 && bytes > 0 ? line.time_us(bytes) : 0;
}

std::vector<ResourceUse> node_uses(const Load& load, const Machine& machine, std::size_t node) {
  const int index = static_cast<int>(node);
  return {{"node memory", index, through(load.node_memory_bytes[node], machine.node_memory)},
          {"node egress", index, through(load.node_egress_bytes[node], machine.node_nic)},
          {"node ingress", index, through(load.node_ingress_bytes[node], machine.node_nic)}};
}

void keep_top_two(ExchangeCost& cost, const ResourceUse& use) {
  if (use.busy_us > cost.bottleneck.busy_us) {
    cost.runner_up = std::exchange(cost.bottleneck, use);
  } else if (use.busy_us > cost.runner_up.busy_us) {
    cost.runner_up = use;
  }
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
  std::vector<double> node_us(load.node_memory_bytes.size());
  for (std::size_t node = 0; node < node_us.size(); ++node) {
    for (const ResourceUse& use : node_uses(load, machine, node)) {
      node_us[node] = std::max(node_us[node], use.busy_us);
      keep_top_two(cost, use);
    }
  }
  for (int rank = 0; rank < ranks; ++rank) {
    const auto r = static_cast<std::size_t>(rank);
    keep_top_two(cost, {"egress", rank, load.egress_us[r]});
    keep_top_two(cost, {"ingress", rank, load.ingress_us[r]});
    const bool takes_part = load.egress_us[r] > 0 || load.ingress_us[r] > 0;
    const double node = node_us[static_cast<std::size_t>(machine.topology.node_of_rank[r])];
    cost.rank_us.push_back(takes_part ? std::max({load.egress_us[r], load.ingress_us[r], node}) : 0);
  }
  cost.total_us = cost.bottleneck.busy_us;
  return cost;
}

}  // namespace ep::cost
