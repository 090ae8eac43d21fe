#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include <benchmark/benchmark.h>

#include "core/clock.hpp"
#include "device/device.hpp"
#include "kernels/stream_store_cpu.hpp"

namespace ep::bench {

inline double median_of(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

template <class Work>
double seconds_of(Work&& work) {
  const double start_us = core::now_us();
  work();
  benchmark::ClobberMemory();
  return (core::now_us() - start_us) / 1e6;
}

/// The bandwidth that a kernel moving `bytes` (read plus written) can hope for: that of a copy which moves as many,
/// by memcpy or by streaming stores, whichever is faster. Buffers as the device allocates them.
class CopyCeiling {
 public:
  CopyCeiling(device::Device& device, std::int64_t bytes)
      : half_(bytes / 2),
        from_(device.allocate(half_, device::MemoryUse::device)),
        to_(device.allocate(half_, device::MemoryUse::device)) {
    std::memset(from_.data(), 1, static_cast<std::size_t>(half_));
  }

  void measure() {
    plain_s_.push_back(seconds_of([this] { std::memcpy(to_.data(), from_.data(), static_cast<std::size_t>(half_)); }));
    streaming_s_.push_back(seconds_of([this] {
      kernels::stream_copy(to_.data(), from_.data(), half_);
      kernels::stream_fence();
    }));
  }
  [[nodiscard]] double median_s() const { return std::min(median_of(plain_s_), median_of(streaming_s_)); }

 private:
  std::int64_t half_;
  device::Buffer from_;
  device::Buffer to_;
  std::vector<double> plain_s_;
  std::vector<double> streaming_s_;
};

/// Runs `work` and the copies in turn, so that drift of a shared machine hits both. Counters: GB/s of the kernel's and
/// the copy's medians, and their ratio.
template <class Work>
void run_beside_copy(benchmark::State& state, device::Device& device, std::int64_t bytes, Work&& work) {
  CopyCeiling ceiling(device, bytes);
  std::vector<double> seconds;
  work();
  for (auto _ : state) {
    ceiling.measure();
    seconds.push_back(seconds_of(work));
    state.SetIterationTime(seconds.back());
  }
  const double median_s = median_of(seconds);
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * bytes);
  state.counters["median_GBps"] = static_cast<double>(bytes) / median_s / 1e9;
  state.counters["copy_GBps"] = static_cast<double>(bytes) / ceiling.median_s() / 1e9;
  state.counters["ratio"] = ceiling.median_s() / median_s;
}

}  // namespace ep::bench
