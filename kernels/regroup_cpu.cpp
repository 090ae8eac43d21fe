#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#include "core/error.hpp"
#include "kernels/e4m3.hpp"
#include "kernels/regroup.hpp"
#include "kernels/rows_cpu.hpp"
#include "kernels/stream_store_cpu.hpp"

namespace ep::kernels {
namespace {

using core::BFloat16;
using core::DType;

std::int64_t row_bytes(std::int32_t hidden, DType dtype) {
  return dtype == DType::e4m3 ? e4m3_row_bytes(hidden) : hidden * core::size_of(dtype);
}

/// Makes `count` elements in place with make(first, out, count), or block by block to stream them.
template <class Out, class Make>
void store(Out* out, std::int64_t count, bool streaming, Make make) {
  if (!streaming) return make(0, out, count);
  std::array<Out, kStreamBlock> block;
  for (std::int64_t first = 0; first < count; first += kStreamBlock) {
    const std::int64_t size = std::min(kStreamBlock, count - first);
    make(first, block.data(), size);
    stream_copy(out + first, block.data(), size * std::int64_t{sizeof(Out)});
  }
}

template <class Out>
void dequantise_rows(const RegroupArgs& args, const std::byte* in, Out* out, std::int64_t rows, bool streaming) {
  for (std::int64_t row = 0; row < rows; ++row, in += e4m3_row_bytes(args.hidden), out += args.hidden) {
    for (std::int64_t block = 0; block < scale_count(args.hidden); ++block) {
      const std::int64_t begin = block * kScaleBlock;
      float scale = 0;
      std::memcpy(&scale, in + scale_offset(args.hidden, block), sizeof(scale));
      store(out + begin, std::min<std::int64_t>(kScaleBlock, args.hidden - begin), streaming,
            [&](std::int64_t first, Out* to, std::int64_t count) {
              rows::dequantise(scale, reinterpret_cast<const E4m3*>(in) + begin + first, to, count);
            });
    }
  }
}

/// Rows that are consecutive on both sides.
void move_rows(const RegroupArgs& args, std::int64_t from, std::byte* to, std::int64_t rows, bool streaming) {
  const std::byte* in = static_cast<const std::byte*>(args.in) + from * row_bytes(args.hidden, args.in_dtype);
  const std::int64_t elements = rows * args.hidden;
  if (args.in_dtype == args.out_dtype) {
    const std::int64_t bytes = elements * core::size_of(args.in_dtype);
    if (streaming) return stream_copy(to, in, bytes);
    std::memcpy(to, in, static_cast<std::size_t>(bytes));
  } else if (args.in_dtype == DType::e4m3) {
    if (args.out_dtype == DType::f32) return dequantise_rows(args, in, reinterpret_cast<float*>(to), rows, streaming);
    dequantise_rows(args, in, reinterpret_cast<BFloat16*>(to), rows, streaming);
  } else if (args.in_dtype == DType::bf16) {
    const auto* const values = reinterpret_cast<const BFloat16*>(in);
    store(reinterpret_cast<float*>(to), elements, streaming,
          [&](std::int64_t first, float* out, std::int64_t count) { rows::widen(values + first, out, count); });
  } else {
    const auto* const values = reinterpret_cast<const float*>(in);
    store(reinterpret_cast<BFloat16*>(to), elements, streaming,
          [&](std::int64_t first, BFloat16* out, std::int64_t count) { rows::narrow(values + first, out, count); });
  }
}

/// First row after `row` where the output changes between `out` and `own_out`, at most `end`.
std::int64_t end_of_run(const OwnRows& own, std::int64_t row, std::int64_t end) {
  if (row < own.begin) return std::min(end, own.end > own.begin ? own.begin : end);
  return row < own.end ? std::min(end, own.end) : end;
}

}  // namespace

void regroup_cpu(const RegroupArgs& args) {
  if (args.out_dtype == DType::e4m3)
    throw core::Error(core::ExitCode::unsupported, "regroup: fp8 is a type to travel in, not one to compute in");
  const std::int64_t out_row_bytes = row_bytes(args.hidden, args.out_dtype);
  const bool streaming = args.rows * out_row_bytes >= streaming_threshold_bytes();
  for (std::int64_t s = 0; s < args.segment_count; ++s) {
    const Segment& segment = args.segments[s];
    const std::int64_t end = segment.to + segment.rows;
    for (std::int64_t row = segment.to; row < end;) {
      const std::int64_t run_end = end_of_run(args.own, row, end);
      auto* base = static_cast<std::byte*>(args.own.contains(row) ? args.own_out : args.out);
      const std::int64_t place = args.own.contains(row) ? row - args.own.begin : row;
      move_rows(args, segment.from + (row - segment.to), base + place * out_row_bytes, run_end - row, streaming);
      row = run_end;
    }
  }
  if (streaming) stream_fence();
}

}  // namespace ep::kernels
