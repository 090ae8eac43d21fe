#include <cstring>
#include <limits>

#include <benchmark/benchmark.h>

#include "bench/micro/copy_ceiling.hpp"
#include "bench/micro/pack_case.hpp"

// Pack beside a streaming copy of as many bytes, and where streaming stores begin to pay: `then_copied` reads the
// packed rows once more, as an exchange through shared memory does.
namespace ep {
namespace {

enum Stores : std::int64_t { automatic, plain, streaming };

void choose(Stores stores, std::int64_t automatic) {
  kernels::set_streaming_threshold_bytes(stores == plain       ? std::numeric_limits<std::int64_t>::max()
                                         : stores == streaming ? 0
                                                               : automatic);
}

void pack(benchmark::State& state) {
  const auto device = device::make_cpu_device({.threads = 1});
  const bench::PackCase one(*device, state.range(0), static_cast<int>(state.range(1)));
  bench::run_beside_copy(state, *device, one.bytes(), [&] { one.pack(); });
}

void pack_then_copied(benchmark::State& state) {
  const auto device = device::make_cpu_device({.threads = 1});
  const bench::PackCase one(*device, state.range(0), 4);
  const std::int64_t automatic = kernels::streaming_threshold_bytes();
  const auto peer = device->allocate(one.send.size_bytes(), device::MemoryUse::receive);
  choose(static_cast<Stores>(state.range(1)), automatic);
  for (auto _ : state) {
    one.pack();
    std::memcpy(peer.data(), one.send.data(), static_cast<std::size_t>(one.send.size_bytes()));
    benchmark::ClobberMemory();
  }
  kernels::set_streaming_threshold_bytes(automatic);
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * (one.bytes() + 2 * one.send.size_bytes()));
}

}  // namespace

BENCHMARK(pack)
    ->ArgNames({"tokens", "topk"})
    ->ArgsProduct({{512, 4096}, {1, 4, 8}})
    ->UseManualTime()
    ->MinTime(0.3)
    ->Unit(benchmark::kMillisecond);
BENCHMARK(pack_then_copied)
    ->ArgNames({"tokens", "stores"})
    ->ArgsProduct({{32, 64, 128, 256, 512, 1024}, {plain, streaming}})
    ->MinTime(0.2)
    ->Unit(benchmark::kMicrosecond);

}  // namespace ep
