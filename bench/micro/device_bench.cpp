#include <memory>
#include <vector>

#include <benchmark/benchmark.h>

#include "device/cpu_stream.hpp"
#include "device/device.hpp"

// What the cpu device costs beyond the work itself: this is in every step of the executor.
namespace ep {
namespace {

constexpr int kBatch = 64;  // enqueued before the host waits, about an iteration's steps

device::CpuStream& cpu(device::Stream& stream) {
  return static_cast<device::CpuStream&>(stream);
}

void enqueue(benchmark::State& state) {
  const auto device = device::make_cpu_device({.threads = 1});
  int runs = 0;
  for (auto _ : state) {
    for (int i = 0; i < kBatch; ++i) cpu(device->compute_stream()).enqueue([&runs] { ++runs; });
    device->synchronize();
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
}

void record(benchmark::State& state) {
  const auto device = device::make_cpu_device({.threads = 1});
  const auto event = device->create_event();
  for (auto _ : state) {
    for (int i = 0; i < kBatch; ++i) device->record(*event, device->compute_stream());
    device->synchronize();
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
}

/// A step as the executor issues it: start event, launch, end event, and a wait for the step before. With `hand_over`
/// that step ran on the other stream.
void step(benchmark::State& state) {
  const bool hand_over = state.range(0) != 0;
  const auto device = device::make_cpu_device({.threads = 1});
  std::vector<std::unique_ptr<device::Event>> events;
  for (int i = 0; i < 2 * kBatch; ++i) events.push_back(device->create_event());
  for (auto _ : state) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      device::Stream& stream = hand_over && i % 2 == 1 ? device->comm_stream() : device->compute_stream();
      if (i > 0) device->wait(stream, *events[2 * i - 1]);
      device->record(*events[2 * i], stream);
      device->launch(stream, kernels::PackArgs{});
      device->record(*events[2 * i + 1], stream);
    }
    device->synchronize();
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
  state.counters["us_per_step"] = benchmark::Counter(static_cast<double>(state.iterations()) * kBatch / 1e6,
                                                     benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

/// One closure and back: the latency when a stream sleeps, mostly the scheduler's.
void round_trip(benchmark::State& state) {
  const auto device = device::make_cpu_device({.threads = 1});
  for (auto _ : state) {
    cpu(device->compute_stream()).enqueue([] {});
    device->synchronize();
  }
}

}  // namespace

BENCHMARK(enqueue)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(record)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(step)->ArgName("hand_over")->Arg(0)->Arg(1)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(round_trip)->UseRealTime()->Unit(benchmark::kMicrosecond);

}  // namespace ep
