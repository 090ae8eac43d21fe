#include <nlohmann/json.hpp>

#include "cluster/cluster.hpp"
#include "cluster/format.hpp"

namespace ep::cluster {

namespace {

using Json = nlohmann::ordered_json;

Json line_json(const Cited<cost::Line>& line, bool link) {
  Json result;
  if (link) result["start_us"] = line.value.start_us;
  result["latency_us"] = line.value.latency_us;
  result["gbs"] = line.value.gbs;
  for (const auto& [bytes, us] : line.value.points) result["points"].push_back({{"bytes", bytes}, {"us", us}});
  result["origin"] = line.origin;
  return result;
}

Json link_json(const std::optional<Cited<cost::Line>>& link) {
  return link ? line_json(*link, true) : Json(nullptr);
}

Json curve_json(const Cited<cost::GemmCurve>& curve) {
  const cost::GemmCurve& gemm = curve.value;
  Json points = Json::array();
  for (const auto& point : gemm.points) {
    points.push_back({{"rows", point.size}, {"tflops", gemm_flops(gemm, point.size) / (point.us * 1e6)}});
  }
  return {{"n", gemm.n},
          {"k", gemm.k},
          {"weight_grad", gemm.weight_grad},
          {"points", std::move(points)},
          {"origin", curve.origin}};
}

Json rank_json(int rank, const Cited<cost::RankOverride>& own) {
  const auto link = [&](const std::optional<cost::Line>& line) {
    return line ? line_json({*line, own.origin}, true) : Json(nullptr);
  };
  return {{"rank", rank},
          {"in_node", link(own.value.in_node)},
          {"between_nodes", link(own.value.between_nodes)},
          {"compute", own.value.compute},
          {"origin", own.origin}};
}

Json estimate_json(const std::optional<cost::Estimate>& estimate) {
  return estimate ? Json{{"value", estimate->value}, {"low", estimate->low}, {"high", estimate->high}} : Json(nullptr);
}

Json fit_json(const cost::Fit& fit) {
  Json samples = Json::array();
  for (const auto& [size, us, residual] : fit.samples)
    samples.push_back({{"size", size}, {"us", us}, {"residual", residual}});
  return {{"r_squared", fit.r_squared ? Json(*fit.r_squared) : Json(nullptr)},
          {"fixed_us", estimate_json(fit.fixed_us)},
          {"gbs", estimate_json(fit.gbs)},
          {"worst_residual", fit.worst_residual()},
          {"samples", std::move(samples)}};
}

}  // namespace

std::string to_json(const Cluster& cluster) {
  Json result = {{"format", kFormat},
                 {"name", cluster.name},
                 {"nodes", cluster.nodes},
                 {"ranks_per_node", cluster.ranks_per_node},
                 {"links_at_once", cluster.links_at_once}};
  result["links"] = {{"in_node", link_json(cluster.in_node)},
                     {"between_nodes", link_json(cluster.between_nodes)},
                     {"node_memory", link_json(cluster.node_memory)},
                     {"node_nic", link_json(cluster.node_nic)},
                     {"fabric", link_json(cluster.fabric)}};
  result["own_memory"] = line_json(cluster.own_memory, false);
  result["kernels"] = Json::object();
  for (const auto& [kernel, line] : cluster.kernels) {
    result["kernels"][std::string(schedule::name_of(kernel))] = line_json(line, false);
  }
  result["counts"] = {{"latency_us", cluster.counts_us.value}, {"origin", cluster.counts_us.origin}};
  result["gemm"] = Json::array();
  for (const auto& curve : cluster.gemm) result["gemm"].push_back(curve_json(curve));
  result["overlap"] = {{"compute", cluster.overlap.value.compute},
                       {"comm", cluster.overlap.value.comm},
                       {"origin", cluster.overlap.origin}};
  result["link_scale"] = Json::array();
  for (const auto& [node, scale] : cluster.link_scale) {
    result["link_scale"].push_back(
        {{"node", node}, {"egress", scale.value.egress}, {"ingress", scale.value.ingress}, {"origin", scale.origin}});
  }
  result["ranks"] = Json::array();
  for (const auto& [rank, own] : cluster.ranks) result["ranks"].push_back(rank_json(rank, own));
  for (const auto& [name, fit] : cluster.fits) result["fits"][name] = fit_json(fit);
  return result.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace ep::cluster
