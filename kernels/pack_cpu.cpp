#include <array>
#include <cstring>
#include <span>

#include "kernels/pack.hpp"
#include "kernels/stream_store_cpu.hpp"

namespace ep::kernels {
namespace {

std::byte* place_of(const PackArgs& args, std::int64_t row) {
  return args.own.contains(row) ? args.own_out + (row - args.own.begin) * args.row_bytes
                                : args.send + row * args.row_bytes;
}

void copy_row(std::span<std::byte* const> places, const std::byte* row, std::int64_t bytes, bool streaming) {
  if (streaming) return stream_copy(places, row, bytes);
  for (std::byte* place : places) std::memcpy(place, row, static_cast<std::size_t>(bytes));
}

}  // namespace

void pack_cpu(const PackArgs& args) {
  const bool streaming = args.token_count * args.topk * args.row_bytes >= streaming_threshold_bytes();
  std::array<std::byte*, 4> places;  // measured: at 8, more lines are under way than one core keeps up with
  for (std::int64_t token = 0; token < args.token_count; ++token) {
    const std::byte* row = args.tokens + token * args.row_bytes;
    std::size_t count = 0;
    for (std::int32_t k = 0; k < args.topk; ++k) {
      const std::int32_t position = args.position[token * args.topk + k];
      if (position >= 0) places[count++] = place_of(args, position);
      if (count < places.size() && k + 1 < args.topk) continue;
      copy_row(std::span(places).first(count), row, args.row_bytes, streaming);
      count = 0;
    }
  }
  if (streaming) stream_fence();
}

}  // namespace ep::kernels
