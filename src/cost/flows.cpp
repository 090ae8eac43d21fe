#include "cost/flows.hpp"

#include <algorithm>
#include <map>
#include <queue>
#include <tuple>
#include <utility>

#include "plan/loads.hpp"

namespace ep::cost {

namespace {

enum class Kind : std::uint8_t { egress, ingress, node_memory, node_egress, node_ingress };

/// A port's time for one of its messages: what is paid once an exchange is shared out among them.
double port_us(const Line& line, double bytes, double scale, double messages) {
  return line.start_us / messages + line.latency_us + line.transfer_us(bytes) / scale;
}

/// What one message asks of a resource: a time, of a port; bytes, of what a node's ranks share.
struct Load {
  std::size_t message;
  double work_us;
  double bytes;
};

/// Bytes of a shared resource get their part of what all of them take together.
std::vector<Load> priced(std::vector<Load> loads, const Line& shared) {
  double bytes = 0;
  for (const Load& load : loads) bytes += load.bytes;
  if (bytes == 0) return loads;
  const double once_us = shared.latency_us / static_cast<double>(loads.size());
  for (Load& load : loads) load.work_us = once_us + shared.transfer_us(bytes) * load.bytes / bytes;
  return loads;
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
  const Line& node_memory = machine.node_memory_of(exchange);
  const placement::Topology& topology = machine.topology;
  const plan::ExchangeLoads loads = plan::loads_of(rows, topology);
  // Links that work at once are two ports of a rank.
  std::map<std::tuple<Kind, int, bool>, std::vector<Load>> resources;
  const auto pass = [&](Kind kind, int index, bool apart, double work_us) {
    resources[{kind, index, apart}].push_back({messages_.size(), work_us, 0});
  };
  // What a node's messages take is known when all of them are: together.
  const auto pass_node = [&](Kind kind, int node, const Line& line, double bytes, double scale) {
    if (line.gbs > 0) resources[{kind, node, false}].push_back({messages_.size(), 0, bytes / scale});
  };
  for (int from = 0; from < topology.ranks(); ++from) {
    for (int to = 0; to < topology.ranks(); ++to) {
      if (from == to || rows(from, to) == 0) continue;
      const auto bytes = static_cast<double>(rows(from, to) * row_bytes);
      const bool within = topology.same_node(from, to);
      const bool apart = machine.links_at_once && !within;
      const plan::RankLoad& out = loads[static_cast<std::size_t>(from)];
      const plan::RankLoad& in = loads[static_cast<std::size_t>(to)];
      const int source = topology.node_of_rank[static_cast<std::size_t>(from)];
      const int target = topology.node_of_rank[static_cast<std::size_t>(to)];
      const double egress = within ? 1 : machine.scale_of(source).egress;
      const double ingress = within ? 1 : machine.scale_of(target).ingress;
      pass(Kind::egress, from, apart,
           port_us(machine.link(from, within), bytes, egress, (within ? out.out_within : out.out_between).messages));
      pass(Kind::ingress, to, apart,
           port_us(machine.link(to, within), bytes, ingress, (within ? in.in_within : in.in_between).messages));
      if (within) {
        pass_node(Kind::node_memory, source, node_memory, bytes, 1);
      } else {
        pass_node(Kind::node_egress, source, machine.node_nic, bytes, egress);
        pass_node(Kind::node_ingress, target, machine.node_nic, bytes, ingress);
      }
      messages_.push_back({static_cast<std::size_t>(from), static_cast<std::size_t>(to)});
    }
  }
  for (const auto& [key, loads_of_it] : resources) {
    const Line& shared = std::get<Kind>(key) == Kind::node_memory ? node_memory : machine.node_nic;
    std::vector<Passage> passages;
    for (const Load& load : priced(loads_of_it, shared)) passages.push_back({load.message, load.work_us});
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
