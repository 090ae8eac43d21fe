// What the CUDA kernels share. Compiled by nvcc and, in tests, by a C++ compiler for the emulator.
#pragma once
#include <cstdint>
#include <limits>
#include <string>

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "core/dtype.hpp"
#include "kernels/launch_error.hpp"
#include "kernels/stream.hpp"

namespace ep::kernels::gpu {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffU;
inline constexpr int kBlockThreads = 256;
inline constexpr int kBlockWarps = kBlockThreads / kWarp;
inline constexpr std::int64_t kWordBytes = 16;  // the widest access of a thread

/// Throws Error (cuda) unless `error` is cudaSuccess. Forgets it too: else a later call of ours or of a library would
/// report it again.
inline void check(const char* name, cudaError_t error) {
  if (error == cudaSuccess) return;
  cudaGetLastError();
  throw_cuda(std::string(name) + ": " + cudaGetErrorName(error) + ": " + cudaGetErrorString(error));
}

/// Enqueues a kernel with blocks of `threads`. Nothing is enqueued for zero blocks, which CUDA refuses. Throws Error
/// (cuda).
template <class... Parameters, class... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), std::int64_t blocks, int threads,
            std::int64_t shared_bytes, StreamHandle stream, const Arguments&... arguments) {
  if (blocks == 0) return;
  if (blocks > std::numeric_limits<std::int32_t>::max())
    throw_unsupported(std::string(name) + ": more blocks than a GPU takes at once");
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = static_cast<std::size_t>(shared_bytes);
  config.stream = static_cast<cudaStream_t>(stream);
  check(name, cudaLaunchKernelEx(&config, kernel, arguments...));
}

/// The block's dynamic shared memory.
template <class T>
__device__ inline T* dynamic_shared() {
#ifdef EP_CUDA_EMULATED
  return static_cast<T*>(ep::emulator::dynamic_shared_memory());
#else
  extern __shared__ uint4 memory[];
  return reinterpret_cast<T*>(memory);
#endif
}

__device__ inline int lane() {
  return static_cast<int>(threadIdx.x) % kWarp;
}
__device__ inline int warp() {
  return static_cast<int>(threadIdx.x) / kWarp;
}

/// Rows of equal length, cut into slices of which a warp takes one: so many words of 16 bytes a lane that the loads in
/// flight hide the latency of memory, and so short a slice that few rows still fill the GPU.
struct RowSlices {
  std::uint32_t words;   // of 16 bytes in a row
  std::uint32_t slices;  // of a row
  std::uint32_t items;   // slices in all

  /// @param words_per_lane of a slice. Throws Error (unsupported) for rows that are no multiple of 16 bytes.
  RowSlices(const char* name, std::int64_t rows, std::int64_t row_bytes, std::int64_t words_per_lane) {
    if (row_bytes % kWordBytes != 0)
      throw_unsupported(std::string(name) + ": rows of " + std::to_string(row_bytes) +
                        " bytes; on a GPU they must be a multiple of 16 bytes (bf16: widths a multiple of 8)");
    const std::int64_t slice_words = words_per_lane * kWarp;
    const std::int64_t row_words = row_bytes / kWordBytes;
    const std::int64_t row_slices = (row_words + slice_words - 1) / slice_words;
    if (rows * row_slices > std::numeric_limits<std::int32_t>::max())
      throw_unsupported(std::string(name) + ": too many rows for one launch");
    words = static_cast<std::uint32_t>(row_words);
    slices = static_cast<std::uint32_t>(row_slices);
    items = static_cast<std::uint32_t>(rows * row_slices);
  }

  [[nodiscard]] std::int64_t blocks() const { return (std::int64_t{items} + kBlockWarps - 1) / kBlockWarps; }
};

/// This warp's slice: its row, and the first word of this lane (every 32nd after it is the lane's too).
struct Slice {
  std::int64_t row;
  std::uint32_t first;
  bool exists;  // the last block may have warps to spare
};

template <int kWordsPerLane>
__device__ inline Slice slice_of_warp(const RowSlices& rows) {
  const std::uint32_t item = blockIdx.x * kBlockWarps + static_cast<std::uint32_t>(warp());
  const std::uint32_t row = item / rows.slices;
  const std::uint32_t first = (item % rows.slices) * (kWordsPerLane * kWarp) + static_cast<std::uint32_t>(lane());
  return {row, first, item < rows.items};
}

/// The i-th word of this lane.
__device__ inline std::uint32_t word_of(const Slice& slice, int i) {
  return slice.first + static_cast<std::uint32_t>(i * kWarp);
}

/// A word of 16 bytes as the values it holds.
template <class T>
struct Word;

template <>
struct Word<float> {
  static constexpr int kCount = 4;
  __device__ static void unpack(const uint4& word, float (&values)[kCount]) {
    values[0] = __uint_as_float(word.x);
    values[1] = __uint_as_float(word.y);
    values[2] = __uint_as_float(word.z);
    values[3] = __uint_as_float(word.w);
  }
  __device__ static uint4 pack(const float (&values)[kCount]) {
    return make_uint4(__float_as_uint(values[0]), __float_as_uint(values[1]), __float_as_uint(values[2]),
                      __float_as_uint(values[3]));
  }
};

template <>
struct Word<core::BFloat16> {
  static constexpr int kCount = 8;
  __device__ static void unpack(const uint4& word, float (&values)[kCount]) {
    const unsigned pairs[] = {word.x, word.y, word.z, word.w};
    for (int i = 0; i < 4; ++i) {
      values[2 * i] = __uint_as_float(pairs[i] << 16);
      values[2 * i + 1] = __uint_as_float(pairs[i] & 0xffff0000U);
    }
  }
  __device__ static unsigned pair(float low, float high) {
    const __nv_bfloat162 both = __floats2bfloat162_rn(low, high);  // one instruction, nearest even
    return static_cast<unsigned>(__bfloat16_as_ushort(both.x)) | static_cast<unsigned>(__bfloat16_as_ushort(both.y))
                                                                     << 16;
  }
  __device__ static uint4 pack(const float (&values)[kCount]) {
    return make_uint4(pair(values[0], values[1]), pair(values[2], values[3]), pair(values[4], values[5]),
                      pair(values[6], values[7]));
  }
};

}  // namespace ep::kernels::gpu
