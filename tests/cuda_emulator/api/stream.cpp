// cudaStream*, cudaDeviceSynchronize and host functions.
#include <fmt/format.h>

#include "cuda_emulator/api/error.hpp"
#include "cuda_emulator/api/graph.hpp"
#include "cuda_emulator/runtime/engine.hpp"
#include "cuda_emulator/runtime/report.hpp"

using namespace ep::emulator;

namespace {

constexpr int kLeastPriority = 0;
constexpr int kGreatestPriority = -5;

/// A stream may not be waited for while NCCL is still enqueuing on it: the wait would miss that operation.
void require_not_held(const Stream& stream, const char* caller) {
  if (stream.held_by == nullptr) return;
  fail("nccl-in-progress",
       fmt::format("{} on stream {}, on which an NCCL operation is still being enqueued", caller, stream.id));
}

}  // namespace

extern "C" {

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  const Guard guard;
  if (stream == nullptr) return remember(cudaErrorInvalidValue);
  *stream = static_cast<cudaStream_t>(Engine::get().create_stream((flags & cudaStreamNonBlocking) == 0, priority));
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return cudaStreamCreateWithPriority(stream, flags, kLeastPriority);
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  if (least != nullptr) *least = kLeastPriority;
  if (greatest != nullptr) *greatest = kGreatestPriority;
  return cudaSuccess;
}

cudaError_t cudaStreamGetPriority(cudaStream_t handle, int* priority) {
  const Guard guard;
  *priority = Engine::get().stream(handle).priority;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  const Guard guard;
  Stream& stream = Engine::get().stream(handle);
  if (stream.id == 1) return remember(cudaErrorInvalidResourceHandle);
  require_not_held(stream, "cudaStreamDestroy");
  stream.destroyed = true;  // what it holds still runs
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  const Guard guard;
  Engine& engine = Engine::get();
  Stream& stream = engine.stream(handle);
  require_not_held(stream, "cudaStreamSynchronize");
  if (const cudaError_t error = refuse_sync_during_capture(stream); error != cudaSuccess) return remember(error);
  engine.wait_for(stream.last, fmt::format("cudaStreamSynchronize of stream {}", stream.id));
  return engine.sticky_error();
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  const Guard guard;
  Engine& engine = Engine::get();
  Stream& stream = engine.stream(handle);
  require_not_held(stream, "cudaStreamQuery");
  if (const cudaError_t error = refuse_sync_during_capture(stream); error != cudaSuccess) return remember(error);
  engine.offer_polling();
  if (engine.sticky_error() != cudaSuccess) return engine.sticky_error();
  if (stream.last != nullptr && !stream.last->done) return cudaErrorNotReady;
  engine.acquire(stream.last);
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  const Guard guard;
  if (const cudaError_t error = refuse_during_capture(); error != cudaSuccess) return remember(error);
  Engine& engine = Engine::get();
  // By index: another thread may make a stream while this one waits.
  for (std::size_t i = 0; i < engine.streams().size(); ++i) {
    const Stream& stream = *engine.streams()[i];
    require_not_held(stream, "cudaDeviceSynchronize");
    engine.wait_for(stream.last, "cudaDeviceSynchronize");
  }
  return engine.sticky_error();
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void* data) {
  const Guard guard;
  Engine& engine = Engine::get();
  const auto call = [function, data] {
    const Unguard user_code;
    function(data);
    return true;
  };
  return remember(engine.submit(engine.stream(handle), {.name = "host function", .work = call}));
}

}  // extern "C"
