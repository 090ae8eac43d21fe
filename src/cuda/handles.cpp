#include "cuda/handles.hpp"

#include "cuda/error.hpp"

namespace ep::cuda {
namespace {

void check_allocation(cudaError_t code, std::size_t bytes, const char* kind, core::SourceLocation where) {
  if (code == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw core::Error(core::ExitCode::cuda, fmt::format("CUDA: cannot allocate {} bytes of {} memory", bytes, kind));
  }
  check_cuda(code, where);
}

UniqueEvent make_event(unsigned flags) {
  cudaEvent_t event = nullptr;
  check_cuda(cudaEventCreateWithFlags(&event, flags));
  return UniqueEvent(event);
}

}  // namespace

UniqueStream make_stream(Priority priority) {
  int least = 0;
  int greatest = 0;  // the numerically smaller one
  check_cuda(cudaDeviceGetStreamPriorityRange(&least, &greatest));
  cudaStream_t stream = nullptr;
  check_cuda(
      cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, priority == Priority::high ? greatest : least));
  return UniqueStream(stream);
}

UniqueEvent make_timed_event() {
  return make_event(cudaEventDefault);
}

UniqueEvent make_order_event() {
  return make_event(cudaEventDisableTiming);
}

double elapsed_us(cudaEvent_t from, cudaEvent_t to) {
  float milliseconds = 0;
  check_cuda(cudaEventElapsedTime(&milliseconds, from, to));
  return static_cast<double>(milliseconds) * 1e3;
}

UniqueDeviceMemory allocate_device(std::size_t bytes) {
  void* memory = nullptr;
  check_allocation(cudaMalloc(&memory, bytes), bytes, "device", core::SourceLocation::current());
  return UniqueDeviceMemory(memory);
}

UniquePinnedMemory allocate_pinned(std::size_t bytes) {
  void* memory = nullptr;
  check_allocation(cudaMallocHost(&memory, bytes), bytes, "pinned host", core::SourceLocation::current());
  return UniquePinnedMemory(memory);
}

}  // namespace ep::cuda
