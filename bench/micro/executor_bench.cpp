// What executing a schedule costs by itself: a layer so small that its kernels take next to nothing.
#include <benchmark/benchmark.h>

#include "layer/executor.hpp"
#include "schedule/strategy.hpp"

namespace ep {
namespace {

/// One rank: nothing travels.
class NoExchange : public exchange::Exchange {
 public:
  [[nodiscard]] std::string_view name() const override { return "none"; }
  [[nodiscard]] std::string_view algorithm() const override { return "none"; }
  void exchange_counts(std::span<const std::int32_t> send, std::span<std::int32_t> recv) override {
    std::copy(send.begin(), send.end(), recv.begin());
  }
  void all_to_all(device::Stream& /*comm*/, const exchange::AllToAll& /*args*/) override {}
};

/// Time an operation, from the first start to the last end of an iteration, less the time inside operations.
void overhead_per_step(benchmark::State& state, const char* strategy) {
  const auto device = device::make_cpu_device({.threads = 1});
  NoExchange exchange;
  const plan::LayerShape shape{16, 16, 16, core::DType::f32, core::DType::f32};
  const routing::Routing routing = routing::generate("uniform", {1, 1, 1, 1, {}});
  const placement::Placement placement = placement::make_placement("block", 1, 1);
  const placement::Topology topology = placement::block_topology(1, 1);
  layer::Layer layer(*device, exchange, {routing, placement, topology, shape, 1, 0, 1});
  layer::Executor executor(layer);
  const auto schedule =
      schedule::build(schedule::parse_strategy(strategy), plan::make_plan(routing, placement, topology, 1), shape);
  double between_us = 0;
  for (auto _ : state) {
    const schedule::Timeline timeline{executor.run(schedule, layer::Phase::whole)};
    between_us += schedule::iteration_us(timeline);
    for (const schedule::Span& span : timeline.spans) between_us -= span.end_us - span.start_us;
  }
  const auto steps = static_cast<double>(state.iterations()) * static_cast<double>(schedule.ops.size());
  state.counters["us_between_steps"] = between_us / steps;
}

BENCHMARK_CAPTURE(overhead_per_step, sequential, "sequential")->UseRealTime();
BENCHMARK_CAPTURE(overhead_per_step, overlapped, "overlapped")->UseRealTime();

}  // namespace

}  // namespace ep
