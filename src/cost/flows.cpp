#include "cost/flows.hpp"

#include <algorithm>
#include <map>
#include <queue>
#include <tuple>
#include <utility>

#include "cost/exchange_cost.hpp"
#include "plan/loads.hpp"

namespace ep::cost {

namespace {

enum class Kind : std::uint8_t { egress, ingress, node_memory, node_egress, node_ingress };

/// A port's time for one of the messages of a tier, `rows` of all its rows.
double port_us(const Line& line, const plan::TierLoad& tier, double rows, double row_bytes, double scale) {
  const double transfer_us = line.transfer_us(tier.rows * row_bytes, tier.messages) / scale;
  return line.start_us / tier.messages + line.latency_us + transfer_us * rows / tier.rows;
}

/// What one message asks of a resource: a time, of a port; its part, by rows, of what a node's resource takes for all.
struct Load {
  std::size_t message;
  double work_us;
  double rows;
};

void share_by_rows(std::vector<Load>& loads, double together_us) {
  double rows = 0;
  for (const Load& load : loads) rows += load.rows;
  for (Load& load : loads) load.work_us = together_us * load.rows / rows;
}

double busy_us(const NodeTimes& node, Kind kind) {
  if (kind == Kind::node_memory) return node.memory_us;
  return kind == Kind::node_egress ? node.egress_us : node.ingress_us;
}

/// When a server that gives all present the same part of its speed is done with each: [passages] of (ready, work).
/// In the time in which everyone present gets one unit of work, one that came at V with work w leaves at V + w.
template <class Passages, class Done>
void share_out(Passages passages, const std::vector<double>& ready_us, Done done) {
  std::sort(passages.begin(), passages.end(),
            [&](const auto& a, const auto& b) { return ready_us[a.message] < ready_us[b.message]; });
  using Leaves = std::pair<double, std::size_t>;  // in units of work, message
  std::priority_queue<Leaves, std::vector<Leaves>, std::greater<>> present;
  double now_us = 0;
  double given_us = 0;  // work, to each that was present all the time
  auto next = passages.begin();
  while (next != passages.end() || !present.empty()) {
    if (present.empty()) now_us = std::max(now_us, ready_us[next->message]);
    while (next != passages.end() && ready_us[next->message] <= now_us) {
      present.emplace(given_us + next->work_us, next->message);
      ++next;
    }
    const auto [leaves, message] = present.top();
    const auto share = static_cast<double>(present.size());
    const double end_us = now_us + (leaves - given_us) * share;
    if (next != passages.end() && ready_us[next->message] < end_us) {
      given_us += (ready_us[next->message] - now_us) / share;
      now_us = ready_us[next->message];
      continue;
    }
    present.pop();
    given_us = leaves;
    now_us = end_us;
    done(message, end_us);
  }
}

}  // namespace

Flows::Flows(const core::Matrix<std::int64_t>& rows, std::int64_t row_bytes, const Machine& machine,
             std::optional<schedule::OpKind> exchange) {
  const placement::Topology& topology = machine.topology;
  const plan::ExchangeLoads loads = plan::loads_of(rows, topology);
  const auto bytes = static_cast<double>(row_bytes);
  // Links that work at once are two ports of a rank.
  std::map<std::tuple<Kind, int, bool>, std::vector<Load>> resources;
  for (int from = 0; from < topology.ranks(); ++from) {
    for (int to = 0; to < topology.ranks(); ++to) {
      if (from == to || rows(from, to) == 0) continue;
      const auto count = static_cast<double>(rows(from, to));
      const bool within = topology.same_node(from, to);
      const bool apart = machine.links_at_once && !within;
      const plan::RankLoad& out = loads[static_cast<std::size_t>(from)];
      const plan::RankLoad& in = loads[static_cast<std::size_t>(to)];
      const int source = topology.node_of_rank[static_cast<std::size_t>(from)];
      const int target = topology.node_of_rank[static_cast<std::size_t>(to)];
      const double egress = within ? 1 : machine.scale_of(source).egress;
      const double ingress = within ? 1 : machine.scale_of(target).ingress;
      const auto pass = [&](Kind kind, int index, bool of_its_own, double work_us) {
        resources[{kind, index, of_its_own}].push_back({messages_.size(), work_us, count});
      };
      pass(Kind::egress, from, apart,
           port_us(machine.link(from, within), within ? out.out_within : out.out_between, count, bytes, egress));
      pass(Kind::ingress, to, apart,
           port_us(machine.link(to, within), within ? in.in_within : in.in_between, count, bytes, ingress));
      if (within) {
        pass(Kind::node_memory, source, false, 0);
      } else {
        pass(Kind::node_egress, source, false, 0);
        pass(Kind::node_ingress, target, false, 0);
      }
      messages_.push_back({static_cast<std::size_t>(from), static_cast<std::size_t>(to)});
    }
  }
  const std::vector<NodeTimes> nodes = node_times(loads, row_bytes, machine, exchange);
  for (auto& [key, loads_of_it] : resources) {
    const auto [kind, index, apart] = key;
    if (kind != Kind::egress && kind != Kind::ingress)
      share_by_rows(loads_of_it, busy_us(nodes[static_cast<std::size_t>(index)], kind));
    std::vector<Passage> passages;
    for (const Load& load : loads_of_it) passages.push_back({load.message, load.work_us});
    resources_.push_back(std::move(passages));
  }
}

std::vector<double> Flows::ends_us(std::span<const double> starts_us) const {
  std::vector<double> ready_us;
  for (const Message& message : messages_) ready_us.push_back(std::max(starts_us[message.from], starts_us[message.to]));
  std::vector<double> ends(starts_us.begin(), starts_us.end());
  for (const auto& passages : resources_) {
    share_out(passages, ready_us, [&](std::size_t message, double end_us) {
      for (const std::size_t rank : {messages_[message].from, messages_[message].to})
        ends[rank] = std::max(ends[rank], end_us);
    });
  }
  return ends;
}

}  // namespace ep::cost
