#include <algorithm>

#include <fmt/format.h>

#include "cluster/cluster.hpp"
#include "core/error.hpp"

namespace ep::cluster {

namespace {

std::vector<int> node_sizes(const placement::Topology& topology) {
  std::vector<int> sizes(static_cast<std::size_t>(topology.nodes));
  for (const int node : topology.node_of_rank) ++sizes[static_cast<std::size_t>(node)];
  return sizes;
}

/// The line of a link that the job uses; of one it does not use, anything.
cost::Line needed(const std::optional<Cited<cost::Line>>& link, bool used, const Cluster& cluster,
                  std::string_view field) {
  if (link) return link->value;
  if (used) throw core::InputError(cluster.name, field, "null", "the job has such links");
  return {0, 1};
}

std::optional<Cited<cost::Line>> cited(const cost::Line& line, bool used, const std::string& origin) {
  if (!used || line.gbs <= 0) return std::nullopt;
  return Cited<cost::Line>{line, origin};
}

}  // namespace

cost::Machine to_machine(const Cluster& cluster, const placement::Topology& topology) {
  const std::vector<int> sizes = node_sizes(topology);
  cost::Machine machine;
  machine.origin = cluster.name;
  machine.topology = topology;
  machine.links_at_once = cluster.links_at_once;
  machine.own_memory = cluster.own_memory.value;
  machine.in_node =
      needed(cluster.in_node, *std::max_element(sizes.begin(), sizes.end()) > 1, cluster, "links.in_node");
  machine.between_nodes = needed(cluster.between_nodes, topology.nodes > 1, cluster, "links.between_nodes");
  if (cluster.node_memory) machine.node_memory = cluster.node_memory->value;
  if (cluster.node_nic) machine.node_nic = cluster.node_nic->value;
  if (cluster.fabric) machine.fabric = cluster.fabric->value;
  machine.counts_us = cluster.counts_us.value;
  for (const auto& [kernel, line] : cluster.kernels) machine.memory[kernel] = line.value;
  for (const auto& curve : cluster.gemm) machine.gemm.push_back(curve.value);
  machine.interference = cluster.overlap.value;
  if (!cluster.link_scale.empty()) machine.link_scale.resize(static_cast<std::size_t>(topology.nodes));
  for (const auto& [node, scale] : cluster.link_scale) {
    if (node < topology.nodes) machine.link_scale[static_cast<std::size_t>(node)] = scale.value;
  }
  for (const auto& [rank, own] : cluster.ranks) machine.ranks[rank] = own.value;
  return machine;
}

Cluster from_machine(const cost::Machine& machine, std::string name) {
  const std::vector<int> sizes = node_sizes(machine.topology);
  const std::string& origin = machine.origin;
  Cluster cluster;
  cluster.name = std::move(name);
  cluster.nodes = machine.topology.nodes;
  cluster.ranks_per_node = *std::max_element(sizes.begin(), sizes.end());
  cluster.links_at_once = machine.links_at_once;
  const auto pack = machine.memory.find(schedule::OpKind::pack);  // copies a rank's own rows
  cluster.own_memory = {pack == machine.memory.end() ? machine.own_memory : pack->second, origin};
  cluster.in_node = cited(machine.in_node, cluster.ranks_per_node > 1, origin);
  cluster.between_nodes = cited(machine.between_nodes, cluster.nodes > 1, origin);
  cluster.node_memory = cited(machine.node_memory, cluster.ranks_per_node > 1, origin);
  cluster.node_nic = cited(machine.node_nic, cluster.nodes > 1, origin);
  cluster.fabric = cited(machine.fabric, cluster.nodes > 1, origin);
  cluster.counts_us = {machine.counts_us, origin};
  for (const auto& [kernel, line] : machine.memory) cluster.kernels[kernel] = {line, origin};
  for (const cost::GemmCurve& curve : machine.gemm) cluster.gemm.push_back({curve, origin});
  cluster.overlap = {machine.interference, origin};
  for (std::size_t node = 0; node < machine.link_scale.size(); ++node) {
    const cost::LinkScale& scale = machine.link_scale[node];
    if (scale.egress != 1 || scale.ingress != 1) cluster.link_scale[static_cast<int>(node)] = {scale, origin};
  }
  for (const auto& [rank, own] : machine.ranks) cluster.ranks[rank] = {own, origin};
  return cluster;
}

}  // namespace ep::cluster
