#include <algorithm>
#include <cstring>
#include <vector>

#include <benchmark/benchmark.h>

#include "bench/micro/copy_ceiling.hpp"
#include "bench/micro/sample_traffic.hpp"
#include "kernels/quantise.hpp"
#include "kernels/reduce.hpp"
#include "kernels/regroup.hpp"
#include "kernels/swiglu.hpp"

// The other row kernels beside a copy of as many bytes. Memory is what should bind all of them.
namespace ep {
namespace {

using core::DType;
using device::MemoryUse;

constexpr int kHidden = 4096;

/// Device memory of `count` elements, none of them zero or a NaN.
device::Buffer filled(device::Device& device, std::int64_t count, DType dtype) {
  auto buffer = device.allocate(count * core::size_of(dtype), MemoryUse::device);
  core::Random random(1, 2);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto value = static_cast<float>(2 * random.uniform() - 1);
    if (dtype == DType::f32) {
      buffer.as<float>()[i] = value;
    } else {
      buffer.as<core::BFloat16>()[i] = core::to_bfloat16(value);
    }
  }
  return buffer;
}

device::Buffer fp8_rows(device::Device& device, std::int64_t rows) {
  const auto tokens = filled(device, rows * kHidden, DType::bf16);
  auto buffer = device.allocate(rows * kernels::e4m3_row_bytes(kHidden), MemoryUse::device);
  kernels::quantise_cpu({tokens.data(), buffer.data(), rows, kHidden, DType::bf16});
  return buffer;
}

void quantise(benchmark::State& state, DType dtype) {
  const auto device = device::make_cpu_device({.threads = 1});
  const std::int64_t tokens = state.range(0);
  const auto in = filled(*device, tokens * kHidden, dtype);
  const auto out = device->allocate(tokens * kernels::e4m3_row_bytes(kHidden), MemoryUse::device);
  const kernels::QuantiseArgs args{in.data(), out.data(), tokens, kHidden, dtype};
  bench::run_beside_copy(state, *device, in.size_bytes() + out.size_bytes(), [&] { kernels::quantise_cpu(args); });
}

void regroup(benchmark::State& state, DType in_dtype, DType out_dtype) {
  const auto device = device::make_cpu_device({.threads = 1});
  const std::int64_t rows = state.range(0);
  const auto in = in_dtype == DType::e4m3 ? fp8_rows(*device, rows) : filled(*device, rows * kHidden, in_dtype);
  const auto out = device->allocate(rows * kHidden * core::size_of(out_dtype), MemoryUse::device);
  constexpr std::int64_t kSegments = 32;  // 4 sources, 8 local experts
  std::vector<kernels::Segment> segments;
  for (std::int64_t s = 0; s < kSegments; ++s) {
    const std::int64_t size = rows / kSegments;
    segments.push_back({s * size, (s % 8 * 4 + s / 8) * size, size});
  }
  const kernels::RegroupArgs args{in.data(), out.data(), segments.data(), kSegments, rows,
                                  kHidden,   in_dtype,   out_dtype,       {},        nullptr};
  bench::run_beside_copy(state, *device, in.size_bytes() + out.size_bytes(), [&] { kernels::regroup_cpu(args); });
}

void swiglu(benchmark::State& state, DType dtype) {
  const auto device = device::make_cpu_device({.threads = 1});
  const std::int64_t rows = state.range(0);
  constexpr int kFfn = 2048;
  const auto in = filled(*device, rows * 2 * kFfn, dtype);
  const auto out = device->allocate(in.size_bytes() / 2, MemoryUse::device);
  const kernels::SwigluArgs args{in.data(), out.data(), rows, kFfn, dtype};
  bench::run_beside_copy(state, *device, in.size_bytes() + out.size_bytes(), [&] { kernels::swiglu_cpu(args); });
}

void reduce(benchmark::State& state, DType dtype) {
  const auto device = device::make_cpu_device({.threads = 1});
  const bench::SampleTraffic traffic(state.range(0), static_cast<int>(state.range(1)));
  const auto rows = filled(*device, traffic.copies() * kHidden, dtype);
  const auto shared = filled(*device, traffic.tokens * kHidden, DType::f32);
  const auto out = device->allocate(traffic.tokens * kHidden * core::size_of(dtype), MemoryUse::device);
  const std::vector<float> weights(static_cast<std::size_t>(traffic.copies()), 0.25F);
  const kernels::ReduceArgs args{rows.data(),    traffic.position.data(),
                                 weights.data(), shared.data(),
                                 out.data(),     traffic.tokens,
                                 traffic.topk,   kHidden,
                                 dtype,          DType::f32};
  const std::int64_t bytes = rows.size_bytes() + shared.size_bytes() + out.size_bytes();
  bench::run_beside_copy(state, *device, bytes, [&] { kernels::reduce_cpu(args); });
}

void options(benchmark::internal::Benchmark* benchmark) {
  benchmark->UseManualTime()->MinTime(0.3)->Unit(benchmark::kMillisecond);
}
void rows_options(benchmark::internal::Benchmark* benchmark) {
  options(benchmark->ArgName("rows")->Arg(8192));
}
void reduce_options(benchmark::internal::Benchmark* benchmark) {
  options(benchmark->ArgNames({"tokens", "topk"})->ArgsProduct({{2048}, {4, 8}}));
}

}  // namespace

BENCHMARK_CAPTURE(quantise, bf16, DType::bf16)->Apply(rows_options);
BENCHMARK_CAPTURE(regroup, fp8_to_fp32, DType::e4m3, DType::f32)->Apply(rows_options);
BENCHMARK_CAPTURE(regroup, bf16_to_fp32, DType::bf16, DType::f32)->Apply(rows_options);
BENCHMARK_CAPTURE(regroup, fp32_to_bf16, DType::f32, DType::bf16)->Apply(rows_options);
BENCHMARK_CAPTURE(regroup, bf16_to_bf16, DType::bf16, DType::bf16)->Apply(rows_options);
BENCHMARK_CAPTURE(regroup, fp32_to_fp32, DType::f32, DType::f32)->Apply(rows_options);
BENCHMARK_CAPTURE(swiglu, fp32, DType::f32)->Apply(rows_options);
BENCHMARK_CAPTURE(swiglu, bf16, DType::bf16)->Apply(rows_options);
BENCHMARK_CAPTURE(reduce, bf16, DType::bf16)->Apply(reduce_options);
BENCHMARK_CAPTURE(reduce, fp32, DType::f32)->Apply(reduce_options);

}  // namespace ep
