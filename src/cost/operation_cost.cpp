#include "cost/operation_cost.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "core/error.hpp"

namespace ep::cost {

namespace {

/// The kernel of the forward pass that moves memory most alike, for machines on which no backward pass, or no fp8, was
/// measured.
schedule::OpKind forward_twin(schedule::OpKind kernel) {
  using schedule::OpKind;
  if (kernel == OpKind::pack_grad) return OpKind::pack;
  if (kernel == OpKind::swiglu_grad) return OpKind::swiglu;
  if (kernel == OpKind::quantise || kernel == OpKind::regroup_grad) return OpKind::regroup;
  return kernel == OpKind::gate_grad ? OpKind::reduce : kernel;
}

const Line& kernel_line(const Machine& machine, schedule::OpKind kernel) {
  auto found = machine.memory.find(kernel);
  if (found == machine.memory.end()) found = machine.memory.find(forward_twin(kernel));
  if (found == machine.memory.end()) {
    if (machine.own_memory.gbs > 0) return machine.own_memory;
    throw core::Error(core::ExitCode::internal,
                      fmt::format("cost model: no bandwidth for kernel {}", schedule::name_of(kernel)));
  }
  return found->second;
}

/// The curve of the same (n, k), else the nearest in work, scaled by it; of the same form where there is one.
double gemm_us(const Machine& machine, const schedule::GemmWork& work, double rows) {
  const auto [n, k] = std::pair{work.n, work.k};
  const bool same_form = std::any_of(machine.gemm.begin(), machine.gemm.end(),
                                     [&](const GemmCurve& curve) { return curve.weight_grad == work.weight_grad; });
  const GemmCurve* nearest = nullptr;
  double best = std::numeric_limits<double>::infinity();
  double scale = 1;
  for (const GemmCurve& curve : machine.gemm) {
    if (same_form && curve.weight_grad != work.weight_grad) continue;
    const double ratio =
        static_cast<double>(n) * static_cast<double>(k) / (static_cast<double>(curve.n) * static_cast<double>(curve.k));
    const double distance = (curve.n == n && curve.k == k) ? -1 : std::max(ratio, 1 / ratio);
    if (distance >= best) continue;
    best = distance;
    nearest = &curve;
    scale = ratio;
  }
  if (nearest == nullptr) throw core::Error(core::ExitCode::internal, "cost model: no GEMM curve");
  return nearest->time_us(rows) * scale;
}

double gemm_work_us(const schedule::GemmWork& work, const Machine& machine, int rank) {
  double total = 0;
  for (const std::int64_t rows : work.rows->row(rank)) {
    if (rows > 0) total += gemm_us(machine, work, static_cast<double>(rows));
  }
  return total;
}

/// Kernels load a rank's memory, GEMMs its cores.
void price_compute(const schedule::Operation& op, const Machine& machine, OperationCost& cost) {
  for (int rank = 0; rank < machine.topology.ranks(); ++rank) {
    double memory = 0;
    double gemm = 0;
    for (const auto& work : op.work.memory) {
      const std::int64_t bytes = work.bytes[static_cast<std::size_t>(rank)];
      if (bytes > 0) memory += kernel_line(machine, work.kernel).time_us(static_cast<double>(bytes));
    }
    for (const auto& work : op.work.gemm) gemm += gemm_work_us(work, machine, rank);
    if (const auto own = machine.ranks.find(rank); own != machine.ranks.end()) {
      memory *= own->second.compute;
      gemm *= own->second.compute;
    }
    cost.rank_us[static_cast<std::size_t>(rank)] += memory + gemm;
    if (memory > 0) cost.uses.push_back({"memory", rank, memory});
    if (gemm > 0) cost.uses.push_back({"compute", rank, gemm});
  }
}

}  // namespace

OperationCost operation_cost(const schedule::Operation& op, const Machine& machine) {
  OperationCost cost;
  cost.rank_us.assign(static_cast<std::size_t>(machine.topology.ranks()), 0.0);
  price_compute(op, machine, cost);
  for (const auto& work : op.work.exchange) {
    const ExchangeCost exchange = work.rows ? exchange_cost(*work.rows, work.row_bytes, machine, op.kind)
                                            : exchange_cost(*work.loads, work.row_bytes, machine, op.kind);
    for (std::size_t rank = 0; rank < cost.rank_us.size(); ++rank) cost.rank_us[rank] += exchange.rank_us[rank];
    cost.uses.insert(cost.uses.end(), exchange.uses.begin(), exchange.uses.end());
    // What was measured of this very exchange was so from the last rank's start: what moves before is in it.
    const bool from_last_start = machine.topology.nodes == 1 && machine.memory.count(op.kind) > 0;
    if (work.rows && machine.topology.ranks() <= kMostFlowRanks && !from_last_start)
      cost.flows = std::make_shared<const Flows>(*work.rows, work.row_bytes, machine, op.kind);
  }
  if (!op.work.counts.empty() && machine.topology.ranks() > 1) {
    for (double& time : cost.rank_us) time += machine.counts_us;
    cost.uses.push_back({"latency", -1, machine.counts_us});
  }
  std::stable_sort(cost.uses.begin(), cost.uses.end(),
                   [](const ResourceUse& a, const ResourceUse& b) { return a.busy_us > b.busy_us; });
  return cost;
}

}  // namespace ep::cost
