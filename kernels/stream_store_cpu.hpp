#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

// Stores past the caches, for output too large to be found there when it is read next: a plain store first fetches the
// line it is about to overwrite and evicts what was of use.
namespace ep::kernels {

/// Of a core; what is streamed is measured by it, since it belongs to the core alone. The last-level cache is no
/// measure: virtual machines report the socket's, whoever shares it. At least 1 MiB, also where the kernel does not
/// tell.
std::int64_t second_level_cache_bytes();

/// Output of at least this many bytes is streamed: twice the second-level cache. docs/performance.md has the crossover
/// measured.
std::int64_t streaming_threshold_bytes();
/// For tests and benchmarks; takes effect in kernels that start later, on any thread.
void set_streaming_threshold_bytes(std::int64_t bytes);

/// Elements that a kernel computes at once before it streams them: few, so that the core reads the next ones meanwhile.
constexpr std::int64_t kStreamBlock = 256;

/// Copies with streaming stores where this CPU has them (x86-64), else as memcpy does. No overlap.
/// Readers on other threads need a stream_fence() by the writer first.
void stream_copy(void* to, const void* from, std::int64_t bytes);

/// Copies the same bytes to several places, reading them once.
void stream_copy(std::span<std::byte* const> to, const void* from, std::int64_t bytes);

/// Orders streaming stores before what this thread stores next.
void stream_fence();

}  // namespace ep::kernels
