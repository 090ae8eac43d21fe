#include "kernels/stream_store_cpu.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <unistd.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace ep::kernels {
namespace {

constexpr std::int64_t kLine = 64;  // bytes that a write-combining buffer collects

std::atomic<std::int64_t>& threshold() {
  static std::atomic<std::int64_t> bytes{2 * second_level_cache_bytes()};
  return bytes;
}

#ifdef __SSE2__
void stream_line(std::byte* to, const std::byte* from) {
  auto* lanes = reinterpret_cast<__m128i*>(to);
  const auto* in = reinterpret_cast<const __m128i*>(from);
  const __m128i a = _mm_loadu_si128(in);
  const __m128i b = _mm_loadu_si128(in + 1);
  const __m128i c = _mm_loadu_si128(in + 2);
  const __m128i d = _mm_loadu_si128(in + 3);
  _mm_stream_si128(lanes, a);
  _mm_stream_si128(lanes + 1, b);
  _mm_stream_si128(lanes + 2, c);
  _mm_stream_si128(lanes + 3, d);
}
#else
void stream_line(std::byte* to, const std::byte* from) {
  std::memcpy(to, from, kLine);
}
#endif

bool line_aligned(const std::byte* address) {
  return reinterpret_cast<std::uintptr_t>(address) % kLine == 0;
}

}  // namespace

std::int64_t second_level_cache_bytes() {
  return std::max<std::int64_t>(sysconf(_SC_LEVEL2_CACHE_SIZE), 1 << 20);
}

std::int64_t streaming_threshold_bytes() {
  return threshold().load(std::memory_order_relaxed);
}

void set_streaming_threshold_bytes(std::int64_t bytes) {
  threshold().store(bytes, std::memory_order_relaxed);
}

void stream_copy(void* to, const void* from, std::int64_t bytes) {
  auto* out = static_cast<std::byte*>(to);
  const auto* in = static_cast<const std::byte*>(from);
  const auto past_line = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(to) % kLine);
  const std::int64_t head = past_line == 0 ? 0 : std::min(kLine - past_line, bytes);
  if (head > 0) std::memcpy(out, in, static_cast<std::size_t>(head));
  std::int64_t at = head;
  for (; at + kLine <= bytes; at += kLine) stream_line(out + at, in + at);
  if (at < bytes) std::memcpy(out + at, in + at, static_cast<std::size_t>(bytes - at));
}

void stream_copy(std::span<std::byte* const> to, const void* from, std::int64_t bytes) {
  const auto* in = static_cast<const std::byte*>(from);
  if (bytes % kLine != 0 || !std::ranges::all_of(to, line_aligned)) {
    for (std::byte* out : to) stream_copy(out, from, bytes);
    return;
  }
  // Line by line to all of them: the row is then read from memory while the copies drain, which hides its latency.
  for (std::int64_t at = 0; at < bytes; at += kLine)
    for (std::byte* out : to) stream_line(out + at, in + at);
}

void stream_fence() {
#ifdef __SSE2__
  _mm_sfence();
#endif
}

}  // namespace ep::kernels
