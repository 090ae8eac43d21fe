#include <cstdint>
#include <numeric>
#include <vector>

#include <benchmark/benchmark.h>

#include "core/random.hpp"
#include "cost/route_cost.hpp"
#include "placement/placement.hpp"
#include "routing/routing.hpp"

// Pairs a second of both forms of route_cost, beside the speed of merely reading the expert ids: the ceiling.
namespace {

constexpr int kTopk = 8;
constexpr int kExperts = 256;
constexpr int kRanks = 16;

// Uniform ids, repeats within a token allowed: neither form looks for them.
ep::routing::Routing make_routing(std::int64_t tokens) {
  ep::routing::Routing routing;
  routing.tokens = tokens;
  routing.topk = kTopk;
  routing.experts = kExperts;
  ep::core::Random random(1, 2);
  routing.expert_ids.resize(static_cast<std::size_t>(tokens * kTopk));
  for (auto& id : routing.expert_ids) id = static_cast<std::int32_t>(random.below(kExperts));
  return routing;
}

void count_pairs(benchmark::State& state) {
  const std::int64_t pairs = state.iterations() * state.range(0) * kTopk;
  state.SetItemsProcessed(pairs);
  state.SetBytesProcessed(pairs * static_cast<std::int64_t>(sizeof(std::int32_t)));
}

void read_ids(benchmark::State& state) {
  const auto routing = make_routing(state.range(0));
  for (auto _ : state) {
    std::uint32_t sum = 0;
    for (const std::int32_t id : routing.expert_ids) sum += static_cast<std::uint32_t>(id);
    benchmark::DoNotOptimize(sum);
  }
  count_pairs(state);
}

void route_cost_of_layer(benchmark::State& state) {
  const auto routing = make_routing(state.range(0));
  const auto placement = ep::placement::make_placement("block", kExperts, kRanks);
  for (auto _ : state) {
    benchmark::DoNotOptimize(ep::cost::route_cost(routing, placement.expert_ranks(), kRanks, 8192, 400));
  }
  count_pairs(state);
}

void route_cost_of_ragged_rows(benchmark::State& state) {
  const std::int64_t tokens = state.range(0);
  ep::cost::RouteCostInput input;
  input.token_hidden_bytes = 8192;
  input.bandwidth_gbps = 400;
  input.token_assignments.experts = make_routing(tokens).expert_ids;
  for (std::int64_t token = 0; token < tokens; ++token) {
    input.token_assignments.first.push_back((token + 1) * kTopk);
    input.token_to_gpu.push_back(token % kRanks);
  }
  for (int expert = 0; expert < kExperts; ++expert) input.expert_to_gpu.push_back(expert % kRanks);
  for (auto _ : state) benchmark::DoNotOptimize(ep::cost::route_cost(input));
  count_pairs(state);
}

// 8K tokens stay in a cache, 2M (64 MiB of ids) come from memory.
BENCHMARK(read_ids)->Arg(1 << 13)->Arg(1 << 21);
BENCHMARK(route_cost_of_layer)->Arg(1 << 13)->Arg(1 << 21);
BENCHMARK(route_cost_of_ragged_rows)->Arg(1 << 13)->Arg(1 << 21);

}  // namespace
