#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#include "core/error.hpp"
#include "kernels/regroup.hpp"
#include "kernels/rows_cpu.hpp"
#include "kernels/stream_store_cpu.hpp"

namespace ep::kernels {
namespace {

using core::BFloat16;
using core::DType;

void convert(const BFloat16* in, float* out, std::int64_t count) {
  rows::widen(in, out, count);
}
void convert(const float* in, BFloat16* out, std::int64_t count) {
  rows::narrow(in, out, count);
}

template <class In, class Out>
void convert_elements(const In* in, Out* out, std::int64_t count, bool streaming) {
  if (!streaming) return convert(in, out, count);
  std::array<Out, kStreamBlock> block;
  for (std::int64_t first = 0; first < count; first += kStreamBlock) {
    const std::int64_t size = std::min(kStreamBlock, count - first);
    convert(in + first, block.data(), size);
    stream_copy(out + first, block.data(), size * std::int64_t{sizeof(Out)});
  }
}

/// Rows that are consecutive on both sides.
void move_rows(const RegroupArgs& args, std::int64_t from, std::byte* to, std::int64_t rows, bool streaming) {
  const std::byte* in = static_cast<const std::byte*>(args.in) + from * args.hidden * core::size_of(args.in_dtype);
  const std::int64_t elements = rows * args.hidden;
  if (args.in_dtype == args.out_dtype) {
    const std::int64_t bytes = elements * core::size_of(args.in_dtype);
    if (streaming) return stream_copy(to, in, bytes);
    std::memcpy(to, in, static_cast<std::size_t>(bytes));
  } else if (args.in_dtype == DType::bf16) {
    convert_elements(reinterpret_cast<const BFloat16*>(in), reinterpret_cast<float*>(to), elements, streaming);
  } else {
    convert_elements(reinterpret_cast<const float*>(in), reinterpret_cast<BFloat16*>(to), elements, streaming);
  }
}

/// First row after `row` where the output changes between `out` and `own_out`, at most `end`.
std::int64_t end_of_run(const OwnRows& own, std::int64_t row, std::int64_t end) {
  if (row < own.begin) return std::min(end, own.end > own.begin ? own.begin : end);
  return row < own.end ? std::min(end, own.end) : end;
}

}  // namespace

void regroup_cpu(const RegroupArgs& args) {
  if (args.in_dtype == DType::e4m3 || args.out_dtype == DType::e4m3)
    throw core::Error(core::ExitCode::unsupported, "regroup: fp8 rows are not supported on the cpu device");
  const std::int64_t out_row_bytes = args.hidden * core::size_of(args.out_dtype);
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
