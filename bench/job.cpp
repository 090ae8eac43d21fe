#include "bench/job.hpp"

#include <algorithm>
#include <cstring>
#include <span>
#include <unistd.h>

#include <fmt/format.h>

#include "core/error.hpp"
#include "core/parse.hpp"
#include "mpi/agreement.hpp"
#include "mpi/topology.hpp"

namespace ep::bench {

namespace {

template <class Values>
void put(std::string& bytes, const Values& range) {
  const std::span values(range);
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
}

template <class Values>
std::string_view take(std::string_view bytes, Values& range) {
  const std::span values(range);
  std::memcpy(values.data(), bytes.data(), values.size_bytes());
  return bytes.substr(values.size_bytes());
}

std::string serialise(const routing::Routing& routing) {
  std::string bytes;
  const std::int64_t sizes[] = {routing.tokens, routing.topk, routing.experts};
  put(bytes, sizes);
  put(bytes, routing.expert_ids);
  put(bytes, routing.gate_weights);
  return bytes + routing.source;
}

routing::Routing deserialise(std::string_view bytes) {
  std::int64_t sizes[3];
  bytes = take(bytes, sizes);
  routing::Routing routing{sizes[0], static_cast<int>(sizes[1]), static_cast<int>(sizes[2]), {}, {}, {}};
  routing.expert_ids.resize(static_cast<std::size_t>(sizes[0] * sizes[1]));
  routing.gate_weights.resize(routing.expert_ids.size());
  bytes = take(bytes, routing.expert_ids);
  bytes = take(bytes, routing.gate_weights);
  routing.source = bytes;
  return routing;
}

/// Every rank holds the whole routing, on top of the copy it arrives in.
void require_routing_fits(std::int64_t tokens, int topk) {
  const std::int64_t copies = core::checked_product(tokens, topk, "--tokens * ranks * --topk");
  const double needed = 2.0 * static_cast<double>(copies) * (sizeof(std::int32_t) + sizeof(float));
  const double memory = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  if (needed > memory) {
    throw core::InputError(
        "command line", "--tokens", fmt::format("{} in all ranks", tokens),
        fmt::format("the routing alone would take {:.1f} GB of this machine's {:.1f} GB", needed / 1e9, memory / 1e9));
  }
}

routing::Routing make_routing(const RunOptions& options, const RunConfig& config, int ranks) {
  const std::int64_t tokens = core::checked_product(config.tokens_per_rank, ranks, "--tokens * ranks");
  require_routing_fits(tokens, config.topk);
  if (routing::is_file(options.routing)) {
    return routing::load(options.routing, tokens, config.topk, config.experts, options.seed);
  }
  // `hot:FRACTION` sends that share to the experts of rank 0.
  const placement::Placement placement = placement::make_placement(options.placement, config.experts, ranks);
  const auto hot = placement.experts_of(0);
  return routing::generate(options.routing,
                           {tokens, config.topk, config.experts, options.seed, {hot.begin(), hot.end()}});
}

std::vector<mpi::Argument> arguments_of(const RunOptions& options) {
  std::vector<mpi::Argument> arguments;
  for (const auto& [name, value] : values_of(options)) {
    arguments.emplace_back("--" + name, std::visit([](const auto& v) { return fmt::format("{}", v); }, value));
  }
  return arguments;
}

}  // namespace

Job make_job(const RunOptions& options, const mpi::Communicator& communicator) {
  mpi::all_or_none(communicator, [&] { resolve(options); });
  mpi::agree(communicator, arguments_of(options));
  RunConfig config = resolve(options);
  const int ranks = communicator.size();
  placement::Topology topology{mpi::node_of_rank(communicator), 0};
  for (const int node : topology.node_of_rank) topology.nodes = std::max(topology.nodes, node + 1);
  routing::Routing routing =
      deserialise(mpi::collectively(communicator, [&] { return serialise(make_routing(options, config, ranks)); }));
  const std::string expert_ranks = mpi::collectively(communicator, [&] {
    const placement::Placement made = placement::make_placement(options.placement, routing.experts, ranks);
    std::string bytes;
    put(bytes, made.expert_ranks());
    return bytes;
  });
  std::vector<std::int32_t> ranks_of_experts(static_cast<std::size_t>(routing.experts));
  take(expert_ranks, ranks_of_experts);
  placement::Placement placement(std::move(ranks_of_experts), ranks, options.placement);
  return {std::move(config), std::move(topology), std::move(placement), std::move(routing)};
}

}  // namespace ep::bench
