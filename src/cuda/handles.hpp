#pragma once
#include <cuda_runtime.h>

#include "core/unique_handle.hpp"

namespace ep::cuda {

struct StreamPolicy {
  using Handle = cudaStream_t;
  static Handle null() { return nullptr; }
  static void close(Handle stream) noexcept { cudaStreamDestroy(stream); }
};
using UniqueStream = core::UniqueHandle<StreamPolicy>;

enum class Priority { normal, high };

/// A stream that the legacy default stream does not synchronise with. Throws Error (cuda).
UniqueStream make_stream(Priority priority);

struct EventPolicy {
  using Handle = cudaEvent_t;
  static Handle null() { return nullptr; }
  static void close(Handle event) noexcept { cudaEventDestroy(event); }
};
using UniqueEvent = core::UniqueHandle<EventPolicy>;

/// An event that remembers when it was reached. Throws Error (cuda).
UniqueEvent make_timed_event();
/// An event for order only. Throws Error (cuda).
UniqueEvent make_order_event();

/// Microseconds from `from` to `to`; negative when `to` came first. Both must have been reached. Throws Error (cuda).
double elapsed_us(cudaEvent_t from, cudaEvent_t to);

struct GraphPolicy {
  using Handle = cudaGraph_t;
  static Handle null() { return nullptr; }
  static void close(Handle graph) noexcept { cudaGraphDestroy(graph); }
};
using UniqueGraph = core::UniqueHandle<GraphPolicy>;

struct GraphExecPolicy {
  using Handle = cudaGraphExec_t;
  static Handle null() { return nullptr; }
  static void close(Handle graph) noexcept { cudaGraphExecDestroy(graph); }
};
using UniqueGraphExec = core::UniqueHandle<GraphExecPolicy>;

struct DeviceMemoryPolicy {
  using Handle = void*;
  static Handle null() { return nullptr; }
  static void close(Handle memory) noexcept { cudaFree(memory); }
};
using UniqueDeviceMemory = core::UniqueHandle<DeviceMemoryPolicy>;

struct PinnedMemoryPolicy {
  using Handle = void*;
  static Handle null() { return nullptr; }
  static void close(Handle memory) noexcept { cudaFreeHost(memory); }
};
using UniquePinnedMemory = core::UniqueHandle<PinnedMemoryPolicy>;

/// Device memory, 256-byte aligned. Throws Error (cuda), also when there is too little.
UniqueDeviceMemory allocate_device(std::size_t bytes);
/// Page-locked host memory that copies use without a detour. Throws as allocate_device.
UniquePinnedMemory allocate_pinned(std::size_t bytes);

}  // namespace ep::cuda
