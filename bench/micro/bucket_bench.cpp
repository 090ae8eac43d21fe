#include <vector>

#include <benchmark/benchmark.h>

#include "bench/micro/copy_ceiling.hpp"
#include "bench/micro/pack_case.hpp"
#include "plan/plan.hpp"

// Ordering the copies beside packing them: what is spent on deciding must be little beside what is spent on moving.
namespace ep {
namespace {

/// The whole job whose rank 0 packs.
struct Job {
  Job(std::int64_t tokens_per_rank, int topk) {
    using bench::SampleTraffic;
    routing.tokens = tokens_per_rank * SampleTraffic::kRanks;
    routing.topk = topk;
    routing.experts = SampleTraffic::kExperts;
    routing.expert_ids = bench::sample_expert_ids(routing.tokens, topk, routing.experts);
    routing.gate_weights.assign(routing.expert_ids.size(), 1.0F / static_cast<float>(topk));
  }
  [[nodiscard]] plan::Plan make_plan() const { return plan::make_plan(routing, placement, topology, 1); }

  routing::Routing routing;
  placement::Placement placement =
      placement::make_placement("block", bench::SampleTraffic::kExperts, bench::SampleTraffic::kRanks);
  placement::Topology topology = placement::block_topology(bench::SampleTraffic::kRanks, bench::SampleTraffic::kRanks);
};

/// Runs `work` and pack in turn; the counter is the share of pack's median time.
template <class Work>
void run_beside_pack(benchmark::State& state, Work&& work) {
  const auto device = device::make_cpu_device({.threads = 1});
  bench::PackCase pack(*device, state.range(0), static_cast<int>(state.range(1)));
  const Job job(state.range(0), static_cast<int>(state.range(1)));
  const plan::Plan plan = job.make_plan();
  std::vector<double> pack_s;
  std::vector<double> work_s;
  pack.pack();
  for (auto _ : state) {
    pack_s.push_back(bench::seconds_of([&] { pack.pack(); }));
    work_s.push_back(bench::seconds_of([&] { work(pack.traffic, job, plan); }));
    state.SetIterationTime(work_s.back());
  }
  state.counters["pack_us"] = bench::median_of(pack_s) * 1e6;
  state.counters["percent_of_pack"] = 100 * bench::median_of(work_s) / bench::median_of(pack_s);
}

void bucket(benchmark::State& state) {
  run_beside_pack(state, [](auto& traffic, const Job&, const plan::Plan&) { traffic.bucket(); });
}

/// With the rank's plan from the job's.
void bucket_and_rank_plan(benchmark::State& state) {
  run_beside_pack(state, [](auto& traffic, const Job& job, const plan::Plan& plan) {
    traffic.bucket();
    benchmark::DoNotOptimize(plan::make_rank_plan(plan, job.routing, 0, 0));
  });
}

/// With the job's plan too, which counts the tokens of all four ranks; once a run, not once an iteration.
void bucket_and_job_plan(benchmark::State& state) {
  run_beside_pack(state, [](auto& traffic, const Job& job, const plan::Plan&) {
    traffic.bucket();
    benchmark::DoNotOptimize(plan::make_rank_plan(job.make_plan(), job.routing, 0, 0));
  });
}

void options(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"tokens", "topk"})
      ->ArgsProduct({{4096}, {1, 4, 8}})
      ->UseManualTime()
      ->Iterations(41)
      ->Unit(benchmark::kMicrosecond);
}

}  // namespace

BENCHMARK(bucket)->Apply(options);
BENCHMARK(bucket_and_rank_plan)->Apply(options);
BENCHMARK(bucket_and_job_plan)->Apply(options);

}  // namespace ep
