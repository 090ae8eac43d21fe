// cudaMalloc and its kin, and the stream-ordered pool.
#include "cuda_emulator/runtime/memory.hpp"

#include <cstring>
#include <memory>

#include <fmt/format.h>

#include "cuda_emulator/api/error.hpp"
#include "cuda_emulator/api/graph.hpp"
#include "cuda_emulator/checker/checker.hpp"
#include "cuda_emulator/runtime/config.hpp"
#include "cuda_emulator/runtime/engine.hpp"
#include "cuda_emulator/runtime/report.hpp"

// A pool has no memory of its own here: addresses are never reused, so that a use after free is always found.
struct CUmemPoolHandle_st {
  int device = 0;
};

using namespace ep::emulator;

namespace {

cudaError_t allocate(void** pointer, std::size_t bytes, MemoryKind kind) {
  if (pointer == nullptr) return remember(cudaErrorInvalidValue);
  *pointer = nullptr;
  if (const cudaError_t error = refuse_during_capture(); error != cudaSuccess) return remember(error);
  if (bytes == 0) return cudaSuccess;
  *pointer = Memory::get().allocate(bytes, kind);
  return *pointer != nullptr ? cudaSuccess : remember(cudaErrorMemoryAllocation);
}

/// The checker takes the allocation for a write, so that any use not ordered behind it is a race.
cudaError_t enqueue_allocation(Stream& stream, void* memory, std::size_t bytes) {
  const auto mark = [memory, bytes] {
    Checker::get().on_allocation(memory, bytes);
    return true;
  };
  return Engine::get().submit(stream, {.name = "cudaMallocAsync", .work = mark});
}

/// An allocation node: its memory is the graph's own, at one address for ever, and goes with the graph's last copy.
cudaError_t capture_allocation(Stream& stream, void** pointer, std::size_t bytes) {
  *pointer = Memory::get().allocate(bytes, MemoryKind::pool);
  if (*pointer == nullptr) return cudaErrorMemoryAllocation;
  const auto end = [](void* memory) {
    const Guard guard;
    Memory::get().release(
        memory, [](MemoryKind kind) { return kind == MemoryKind::pool; }, "the end of a graph");
  };
  stream.capture->allocated[*pointer] = std::shared_ptr<void>(*pointer, end);
  return enqueue_allocation(stream, *pointer, bytes);
}

/// A free node: what the memory holds is lost until the next launch allocates it again.
cudaError_t capture_free(Stream& stream, void* pointer, std::size_t bytes) {
  constexpr int kLost = 0xff;
  const auto allocated = stream.capture->allocated.extract(pointer);
  if (allocated.empty()) fail("unsupported", "cudaFreeAsync into a capture of what was not allocated in it");
  // The last node to use the memory keeps it.
  const auto lose = [owner = allocated.mapped(), bytes] {
    Checker::get().on_allocation(owner.get(), bytes);
    std::memset(owner.get(), kLost, bytes);
    return true;
  };
  return Engine::get().submit(stream, {.name = "cudaFreeAsync", .work = lose});
}

/// Freeing waits for the device, as CUDA's does.
cudaError_t release(void* pointer, bool (*allowed)(MemoryKind), const char* caller) {
  if (pointer == nullptr) return cudaSuccess;
  if (const cudaError_t error = refuse_during_capture(); error != cudaSuccess) return remember(error);
  const cudaError_t error = cudaDeviceSynchronize();
  Memory::get().release(pointer, allowed, caller);
  return error;
}

}  // namespace

extern "C" {

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  const Guard guard;
  return allocate(pointer, bytes, MemoryKind::device);
}

cudaError_t cudaFree(void* pointer) {
  const Guard guard;
  return release(
      pointer, [](MemoryKind kind) { return kind == MemoryKind::device || kind == MemoryKind::pool; }, "cudaFree");
}

cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned) {
  const Guard guard;
  return allocate(pointer, bytes, MemoryKind::pinned);
}

cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  return cudaHostAlloc(pointer, bytes, cudaHostAllocDefault);
}

/// Does not wait: CUDA promises that for device memory only. What is enqueued and uses the memory will fault.
cudaError_t cudaFreeHost(void* pointer) {
  const Guard guard;
  if (pointer == nullptr) return cudaSuccess;
  if (const cudaError_t error = refuse_during_capture(); error != cudaSuccess) return remember(error);
  Memory::get().release(
      pointer, [](MemoryKind kind) { return kind == MemoryKind::pinned; }, "cudaFreeHost");
  return cudaSuccess;
}

cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  *device = host;
  return cudaSuccess;
}

cudaError_t cudaMallocAsync(void** pointer, std::size_t bytes, cudaStream_t handle) {
  const Guard guard;
  Engine& engine = Engine::get();
  Stream& stream = engine.stream(handle);
  if (stream.capture != nullptr) return remember(capture_allocation(stream, pointer, bytes));
  if (const cudaError_t error = allocate(pointer, bytes, MemoryKind::pool); error != cudaSuccess || bytes == 0) {
    return error;
  }
  return remember(enqueue_allocation(stream, *pointer, bytes));
}

cudaError_t cudaFreeAsync(void* pointer, cudaStream_t handle) {
  const Guard guard;
  if (pointer == nullptr) return cudaSuccess;
  Engine& engine = Engine::get();
  Stream& stream = engine.stream(handle);
  const Allocation* allocation = Memory::get().require_range(pointer, 1, "cudaFreeAsync");
  if (allocation->kind != MemoryKind::pool)
    fail("bad-free", "cudaFreeAsync of memory that is not from cudaMallocAsync");
  if (stream.capture != nullptr) return remember(capture_free(stream, pointer, allocation->bytes));
  const auto free = [pointer, bytes = allocation->bytes] {
    Memory::get().require_range(pointer, bytes, "cudaFreeAsync");
    Checker::get().on_range(pointer, bytes, Access::write);
    Memory::get().release(
        pointer, [](MemoryKind kind) { return kind == MemoryKind::pool; }, "cudaFreeAsync");
    return true;
  };
  return remember(engine.submit(stream, {.name = "cudaFreeAsync", .work = free}));
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
  static CUmemPoolHandle_st default_pool;
  default_pool.device = device;
  *pool = &default_pool;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetMemPool(cudaMemPool_t* pool, int device) {
  return cudaDeviceGetDefaultMemPool(pool, device);
}

cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* properties) {
  *pool = new CUmemPoolHandle_st{properties->location.id};
  return cudaSuccess;
}

cudaError_t cudaMemPoolDestroy(cudaMemPool_t pool) {
  delete pool;
  return cudaSuccess;
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) {
  return cudaSuccess;
}
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, std::size_t) {
  return cudaSuccess;
}

cudaError_t cudaMallocFromPoolAsync(void** pointer, std::size_t bytes, cudaMemPool_t, cudaStream_t stream) {
  return cudaMallocAsync(pointer, bytes, stream);
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  const Guard guard;
  *attributes = {};
  const Allocation* allocation = Memory::get().contains(pointer) ? Memory::get().find(pointer) : nullptr;
  if (allocation == nullptr) {
    attributes->type = cudaMemoryTypeUnregistered;
    return cudaSuccess;
  }
  attributes->type = allocation->kind == MemoryKind::pinned ? cudaMemoryTypeHost : cudaMemoryTypeDevice;
  attributes->devicePointer = const_cast<void*>(pointer);
  if (allocation->kind == MemoryKind::pinned) attributes->hostPointer = const_cast<void*>(pointer);
  cudaGetDevice(&attributes->device);
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const Guard guard;
  *free = Memory::get().free_bytes();
  *total = config().device_bytes;
  return cudaSuccess;
}

}  // extern "C"
