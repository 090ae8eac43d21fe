#include <cstring>
#include <memory>
#include <vector>

#include <fmt/format.h>

#include "cuda_emulator/api/error.hpp"
#include "cuda_emulator/api/graph.hpp"
#include "cuda_emulator/checker/checker.hpp"
#include "cuda_emulator/runtime/engine.hpp"
#include "cuda_emulator/runtime/memory.hpp"

using namespace ep::emulator;

namespace {

/// `height` rows of `width` bytes, `to_pitch` and `from_pitch` bytes apart.
struct Copy {
  char* to;
  const char* from;
  std::size_t to_pitch;
  std::size_t from_pitch;
  std::size_t width;
  std::size_t height;

  void require_ranges() const {
    for (std::size_t row = 0; row < height; ++row) {
      Memory::get().require_range(to + row * to_pitch, width, "cudaMemcpy destination", true);
      Memory::get().require_range(from + row * from_pitch, width, "cudaMemcpy source", true);
    }
  }

  void run() const {
    require_ranges();
    for (std::size_t row = 0; row < height; ++row) {
      const char* source = from + row * from_pitch;
      char* destination = to + row * to_pitch;
      Checker::get().on_range(source, width, Access::read);
      Checker::get().on_copy(destination, source, width);
      std::memcpy(destination, source, width);
    }
  }
};

bool direction_is_right(const Copy& copy, cudaMemcpyKind kind) {
  const auto on_device = [](const void* address) {
    const Allocation* allocation = Memory::get().contains(address) ? Memory::get().find(address) : nullptr;
    return allocation != nullptr && allocation->kind != MemoryKind::pinned;
  };
  switch (kind) {
    case cudaMemcpyHostToHost:
      return !on_device(copy.to) && !on_device(copy.from);
    case cudaMemcpyHostToDevice:
      return on_device(copy.to) && !on_device(copy.from);
    case cudaMemcpyDeviceToHost:
      return !on_device(copy.to) && on_device(copy.from);
    case cudaMemcpyDeviceToDevice:
      return on_device(copy.to) && on_device(copy.from);
    default:
      return true;
  }
}

/// Pageable memory makes a copy partly synchronous: CUDA may have read the source when the call returns, or read it
/// later; and it returns after it has written a pageable destination.
cudaError_t enqueue_copy(Copy copy, cudaMemcpyKind kind, cudaStream_t handle, bool synchronous) {
  Engine& engine = Engine::get();
  Stream& stream = engine.stream(handle);
  if (copy.width == 0 || copy.height == 0) return cudaSuccess;
  copy.require_ranges();
  if (!direction_is_right(copy, kind)) return remember(cudaErrorInvalidValue);
  const std::string name = fmt::format("cudaMemcpy of {} bytes", copy.width * copy.height);
  const bool pageable_source = !Memory::get().contains(copy.from);
  std::shared_ptr<std::vector<char>> staged;
  if (pageable_source && copy.height == 1 && stream.capture == nullptr && (synchronous || engine.decide())) {
    staged = std::make_shared<std::vector<char>>(copy.from, copy.from + copy.width);
    copy.from = staged->data();
  }
  const auto run = [copy, staged] {
    copy.run();
    return true;
  };
  OperationPtr operation;
  const cudaError_t error = engine.submit(stream, {.name = name, .work = run}, {}, &operation);
  if (error != cudaSuccess) return remember(error);
  if (synchronous || !Memory::get().contains(copy.to)) engine.wait_for(operation, name);
  return engine.sticky_error();
}

cudaError_t enqueue_fill(void* to, int value, std::size_t bytes, cudaStream_t handle) {
  Engine& engine = Engine::get();
  if (bytes == 0) return cudaSuccess;
  Memory::get().require_range(to, bytes, "cudaMemset");
  const auto run = [to, value, bytes] {
    Memory::get().require_range(to, bytes, "cudaMemset");
    Checker::get().on_range(to, bytes, Access::write);
    std::memset(to, value, bytes);
    return true;
  };
  return remember(engine.submit(engine.stream(handle), {.name = "cudaMemset", .work = run}));
}

Copy plain(void* to, const void* from, std::size_t bytes) {
  return {static_cast<char*>(to), static_cast<const char*>(from), bytes, bytes, bytes, 1};
}

}  // namespace

extern "C" {

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  const Guard guard;
  return enqueue_copy(plain(to, from, bytes), kind, stream, false);
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  const Guard guard;
  if (const cudaError_t error = refuse_during_capture(); error != cudaSuccess) return remember(error);
  return enqueue_copy(plain(to, from, bytes), kind, nullptr, true);
}

cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                              std::size_t width, std::size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  const Guard guard;
  const Copy copy{static_cast<char*>(to), static_cast<const char*>(from), to_pitch, from_pitch, width, height};
  return enqueue_copy(copy, kind, stream, false);
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  const Guard guard;
  return enqueue_fill(to, value, bytes, stream);
}

cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  const Guard guard;
  if (const cudaError_t error = refuse_during_capture(); error != cudaSuccess) return remember(error);
  if (const cudaError_t error = enqueue_fill(to, value, bytes, nullptr); error != cudaSuccess) return error;
  return cudaStreamSynchronize(nullptr);
}

}  // extern "C"
