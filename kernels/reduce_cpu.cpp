#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <vector>

#include "core/error.hpp"
#include "kernels/reduce.hpp"
#include "kernels/rows_cpu.hpp"
#include "kernels/stream_store_cpu.hpp"

namespace ep::kernels {
namespace {

using core::BFloat16;
using core::DType;

// Columns summed at once: their fp32 sums and the rows passing by share the first-level cache.
constexpr std::int64_t kBlock = 2048;
using Sums = std::array<float, kBlock>;

void start_sums(const ReduceArgs& args, std::int64_t first, std::int64_t count, Sums& sums) {
  if (args.shared == nullptr) {
    std::fill_n(sums.begin(), count, 0.0F);
  } else if (args.shared_dtype == DType::f32) {
    std::memcpy(sums.data(), static_cast<const float*>(args.shared) + first,
                static_cast<std::size_t>(count) * sizeof(float));
  } else {
    rows::widen(static_cast<const BFloat16*>(args.shared) + first, sums.data(), count);
  }
}

void store(const float* sums, float* out, std::int64_t count, bool streaming) {
  if (streaming) return stream_copy(out, sums, count * std::int64_t{sizeof(float)});
  std::memcpy(out, sums, static_cast<std::size_t>(count) * sizeof(float));
}

void store(const float* sums, BFloat16* out, std::int64_t count, bool streaming) {
  if (!streaming) return rows::narrow(sums, out, count);
  std::array<BFloat16, kBlock> block;
  rows::narrow(sums, block.data(), count);
  stream_copy(out, block.data(), count * std::int64_t{sizeof(BFloat16)});
}

template <class T>
void reduce_tokens(const ReduceArgs& args) {
  const std::int64_t hidden = args.hidden;
  const bool streaming = args.tokens * hidden * std::int64_t{sizeof(T)} >= streaming_threshold_bytes();
  std::vector<const T*> copy_rows(static_cast<std::size_t>(args.topk));
  std::vector<float> weights(copy_rows.size());
  Sums sums;
  for (std::int64_t token = 0; token < args.tokens; ++token) {
    std::size_t copies = 0;
    for (std::int64_t slot = token * args.topk; slot < (token + 1) * args.topk; ++slot) {
      if (args.position[slot] < 0) continue;
      copy_rows[copies] = static_cast<const T*>(args.rows) + args.position[slot] * hidden;
      weights[copies++] = args.weights[slot];
    }
    for (std::int64_t first = 0; first < hidden; first += kBlock) {
      const std::int64_t count = std::min(kBlock, hidden - first);
      start_sums(args, token * hidden + first, count, sums);
      rows::add_weighted(std::span(weights).first(copies), copy_rows.data(), sums.data(), count);
      for (std::size_t r = 0; r < copies; ++r) copy_rows[r] += count;
      store(sums.data(), static_cast<T*>(args.out) + token * hidden + first, count, streaming);
    }
  }
  if (streaming) stream_fence();
}

}  // namespace

void reduce_cpu(const ReduceArgs& args) {
  switch (args.dtype) {
    case DType::f32:
      return reduce_tokens<float>(args);
    case DType::bf16:
      return reduce_tokens<BFloat16>(args);
    case DType::e4m3:
      break;
  }
  throw core::Error(core::ExitCode::unsupported, "reduce: fp8 results are not supported on the cpu device");
}

}  // namespace ep::kernels
