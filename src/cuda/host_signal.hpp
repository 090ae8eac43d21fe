#pragma once
#include <cstdint>

#include <cuda.h>
#include <cuda_runtime.h>

#include "cuda/handles.hpp"

namespace ep::cuda {

/// A number in pinned host memory that the host raises and streams wait for: puts a stream's work behind what only a
/// host thread knows the end of. A host function could not wait for that thread: CUDA forbids it to wait for work on
/// the GPU that need not run before it, such as the copies of a CUDA-aware MPI.
class HostSignal {
 public:
  /// At 0, on the GPU in use. Throws Error (unsupported) where driver or GPU know no such wait, Error (cuda).
  HostSignal();
  HostSignal(const HostSignal&) = delete;
  HostSignal& operator=(const HostSignal&) = delete;

  /// What is enqueued on `stream` from now on starts once the number is `value` or more (modulo 2^32). The signal must
  /// outlive that. Throws Error (cuda).
  void wait(cudaStream_t stream, std::uint32_t value) const;
  /// From any thread; whatever that thread did before comes before what waits.
  void raise(std::uint32_t value) noexcept;

 private:
  [[nodiscard]] cudaError_t enqueue_wait(cudaStream_t stream, std::uint32_t value) const;

  UniquePinnedMemory memory_;
  void* device_address_ = nullptr;
  decltype(&cuStreamWaitValue32) wait_value_ = nullptr;  // the driver's own, null where it has none
};

}  // namespace ep::cuda
