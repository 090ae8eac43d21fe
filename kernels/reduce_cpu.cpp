#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "core/error.hpp"
#include "kernels/reduce.hpp"
#include "kernels/rows_cpu.hpp"
#include "kernels/stream_store_cpu.hpp"

namespace ep::kernels {
namespace {

using core::BFloat16;
using core::DType;

// The columns that are summed at once: so few that a token's rows are read side by side, since one stream at a time
// leaves memory bandwidth unused.
using Sums = std::array<float, kStreamBlock>;

/// Asks for what lies a few blocks ahead. Beyond the row's end that is the next row of the same bucket, the one that a
/// token soon to come needs. Inlined by force: GCC drops calls of a function that only prefetches, as without effect.
template <class T>
[[gnu::always_inline]] inline void prefetch_ahead(const T* block) {
  const auto ahead = reinterpret_cast<std::uintptr_t>(block) + 4 * kStreamBlock * sizeof(T);
  for (std::uintptr_t at = 0; at < kStreamBlock * sizeof(T); at += 64)
    __builtin_prefetch(reinterpret_cast<const void*>(ahead + at));  // an address, maybe of nothing: never read
}

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
  std::array<BFloat16, kStreamBlock> block;
  rows::narrow(sums, block.data(), count);
  stream_copy(out, block.data(), count * std::int64_t{sizeof(BFloat16)});
}

template <class T>
void reduce_tokens(const ReduceArgs& args) {
  const std::int64_t hidden = args.hidden;
  const bool streaming = args.tokens * hidden * std::int64_t{sizeof(T)} >= streaming_threshold_bytes();
  Sums sums;
  for (std::int64_t token = 0; token < args.tokens; ++token) {
    const std::int32_t* position = args.position + token * args.topk;
    for (std::int64_t first = 0; first < hidden; first += kStreamBlock) {
      const std::int64_t count = std::min(kStreamBlock, hidden - first);
      start_sums(args, token * hidden + first, count, sums);
      for (std::int32_t k = 0; k < args.topk; ++k) {
        if (position[k] < 0) continue;
        const T* block = static_cast<const T*>(args.rows) + position[k] * hidden + first;
        prefetch_ahead(block);
        rows::accumulate(args.weights == nullptr ? 1.0F : args.weights[token * args.topk + k], block, sums.data(),
                         count);
      }
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
