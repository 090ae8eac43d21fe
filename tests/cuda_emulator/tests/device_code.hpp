// What the emulator's tests share: launching, device arrays, and which flavour this is.
#pragma once
#include <cstddef>
#include <utility>
#include <vector>

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include "cuda_emulator/runtime/report.hpp"

namespace ep::emulator::test {

#ifdef __SANITIZE_THREAD__
inline constexpr bool kChecked = true;
#else
inline constexpr bool kChecked = false;
#endif

template <class... Parameters, class... Arguments>
cudaError_t launch_on(cudaStream_t stream, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                      std::size_t shared_bytes, Arguments&&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...);
}

template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, Arguments&&... arguments) {
  return launch_on(nullptr, kernel, grid, block, 0, std::forward<Arguments>(arguments)...);
}

/// Device memory that stays until the process ends: most tests end in the middle of something.
template <class T>
T* device_array(std::size_t count) {
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, count * sizeof(T)), cudaSuccess);
  return static_cast<T*>(memory);
}

template <class T>
T* device_copy(const std::vector<T>& values) {
  T* memory = device_array<T>(values.size());
  EXPECT_EQ(cudaMemcpy(memory, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice), cudaSuccess);
  return memory;
}

template <class T>
T* pinned_array(std::size_t count) {
  void* memory = nullptr;
  EXPECT_EQ(cudaMallocHost(&memory, count * sizeof(T)), cudaSuccess);
  return static_cast<T*>(memory);
}

template <class T>
std::vector<T> fetch(const T* memory, std::size_t count) {
  std::vector<T> values(count);
  EXPECT_EQ(cudaMemcpy(values.data(), memory, count * sizeof(T), cudaMemcpyDeviceToHost), cudaSuccess);
  return values;
}

inline cudaStream_t new_stream() {
  cudaStream_t stream = nullptr;
  EXPECT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  return stream;
}

inline cudaEvent_t new_event(unsigned flags = cudaEventDefault) {
  cudaEvent_t event = nullptr;
  EXPECT_EQ(cudaEventCreateWithFlags(&event, flags), cudaSuccess);
  return event;
}

/// Runs `statement` and then everything it enqueued, in a process of its own that must end with this report.
#define EXPECT_REPORT(statement, kind) \
  EXPECT_EXIT(                         \
      {                                \
        statement;                     \
        cudaDeviceSynchronize();       \
        std::exit(0);                  \
      },                               \
      testing::ExitedWithCode(::ep::emulator::kFailureExit), "EMULATOR ERROR \\[" kind "\\]")

/// The clean twin: the process ends well and reports nothing.
#define EXPECT_CLEAN(statement)  \
  EXPECT_EXIT(                   \
      {                          \
        statement;               \
        cudaDeviceSynchronize(); \
        std::exit(0);            \
      },                         \
      testing::ExitedWithCode(0), "")

}  // namespace ep::emulator::test
