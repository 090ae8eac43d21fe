#include <type_traits>

#include "kernels/e4m3.hpp"
#include "kernels/launch.cuh"
#include "kernels/regroup.hpp"

namespace ep::kernels {
namespace {

constexpr int kWordsPerLane = 4;  // of the wider side

/// The segment that output row `row` lies in: a search in which the lanes of the warp look at 32 segments at once.
__device__ inline Segment segment_of(const Segment* segments, std::int64_t count, std::int64_t row) {
  std::int64_t first = 0;
  while (count > 1) {
    const std::int64_t step = (count + gpu::kWarp - 1) / gpu::kWarp;
    const std::int64_t probe = gpu::lane() * step;
    const unsigned before = __ballot_sync(gpu::kAllLanes, probe < count && __ldg(&segments[first + probe].to) <= row);
    const std::int64_t skipped = (__popc(before) - 1) * step;
    first += skipped;
    count = step < count - skipped ? step : count - skipped;
  }
  return segments[first];
}

/// One word of the wider type and as many values of the other: unchanged, widened or narrowed.
template <class In, class Out>
__device__ inline void move_word(const void* in, void* out, std::uint32_t word) {
  if constexpr (std::is_same_v<In, Out>) {
    static_cast<uint4*>(out)[word] = __ldg(static_cast<const uint4*>(in) + word);
  } else if constexpr (std::is_same_v<In, core::BFloat16>) {
    const uint2 half = __ldg(static_cast<const uint2*>(in) + word);
    float values[8];
    gpu::Word<core::BFloat16>::unpack(make_uint4(half.x, half.y, 0, 0), values);
    static_cast<uint4*>(out)[word] = gpu::Word<float>::pack({values[0], values[1], values[2], values[3]});
  } else {
    float values[4];
    gpu::Word<float>::unpack(__ldg(static_cast<const uint4*>(in) + word), values);
    using Narrow = gpu::Word<core::BFloat16>;
    static_cast<uint2*>(out)[word] = make_uint2(Narrow::pair(values[0], values[1]), Narrow::pair(values[2], values[3]));
  }
}

/// One word of Out from as many elements of an fp8 row: 8 bytes of them for bf16, 4 for fp32.
template <class Out>
__device__ inline void dequantise_word(const std::byte* in, std::int32_t hidden, void* out, std::uint32_t word) {
  constexpr int kCount = gpu::Word<Out>::kCount;
  using Elements = std::conditional_t<kCount == 8, std::uint64_t, std::uint32_t>;
  const Elements elements = __ldg(reinterpret_cast<const Elements*>(in) + word);
  const std::int64_t at = scale_offset(hidden, word / (kScaleBlock / kCount));
  const float scale = __ldg(reinterpret_cast<const float*>(in + at));
  float values[gpu::Word<Out>::kCount];
  for (int i = 0; i < kCount; ++i) values[i] = to_float(E4m3{static_cast<std::uint8_t>(elements >> (8 * i))}) * scale;
  static_cast<uint4*>(out)[word] = gpu::Word<Out>::pack(values);
}

template <class T>
__device__ inline std::int64_t row_bytes(std::int32_t hidden) {
  if constexpr (std::is_same_v<T, E4m3>) return e4m3_row_bytes(hidden);
  return hidden * std::int64_t{sizeof(T)};
}

// Moves rows * hidden elements in and out, the least possible; of fp8 rows a scale for every 128 too, from memory once.
// The search reads some 24 bytes a lane and slice of the segments, from the cache.
template <class In, class Out>
__global__ void __launch_bounds__(gpu::kBlockThreads) regroup_rows(RegroupArgs args, gpu::RowSlices rows) {
  const gpu::Slice slice = gpu::slice_of_warp<kWordsPerLane>(rows);
  if (!slice.exists) return;
  const Segment segment = segment_of(args.segments, args.segment_count, slice.row);
  const bool own = args.own.contains(slice.row);
  const std::int64_t from = segment.from + (slice.row - segment.to);
  const std::int64_t to = own ? slice.row - args.own.begin : slice.row;
  const std::byte* const in = static_cast<const std::byte*>(args.in) + from * row_bytes<In>(args.hidden);
  std::byte* const out = static_cast<std::byte*>(own ? args.own_out : args.out) + to * row_bytes<Out>(args.hidden);
  for (int i = 0; i < kWordsPerLane; ++i) {
    const std::uint32_t word = gpu::word_of(slice, i);
    if (word >= rows.words) continue;
    if constexpr (std::is_same_v<In, E4m3>) {
      dequantise_word<Out>(in, args.hidden, out, word);
    } else {
      move_word<In, Out>(in, out, word);
    }
  }
}

}  // namespace

void regroup_cuda(const RegroupArgs& args, StreamHandle stream) {
  using core::BFloat16;
  using core::DType;
  if (args.out_dtype == DType::e4m3)
    gpu::throw_unsupported("regroup: fp8 is a type to travel in, not one to compute in");
  const bool wide_in = args.in_dtype == DType::f32;
  const bool wide_out = args.out_dtype == DType::f32;
  const gpu::RowSlices rows("regroup", args.rows, args.hidden * std::int64_t{wide_in || wide_out ? 4 : 2},
                            kWordsPerLane);
  const auto run = [&](auto kernel) {
    gpu::launch("regroup", kernel, rows.blocks(), gpu::kBlockThreads, 0, stream, args, rows);
  };
  if (args.in_dtype == DType::e4m3) return run(wide_out ? regroup_rows<E4m3, float> : regroup_rows<E4m3, BFloat16>);
  if (wide_in) return run(wide_out ? regroup_rows<float, float> : regroup_rows<float, BFloat16>);
  return run(wide_out ? regroup_rows<BFloat16, float> : regroup_rows<BFloat16, BFloat16>);
}

}  // namespace ep::kernels
