#include "cuda/host_signal.hpp"

#include <atomic>

#include "cuda/error.hpp"

namespace ep::cuda {
namespace {

/// Not linked: the program must start where there is no driver. Null where the driver has no such function.
void* find_wait_value() {
  constexpr unsigned kVersion = 12000;  // since then no option of the kernel module needs to allow it
  void* found = nullptr;
  check_cuda(cudaGetDriverEntryPointByVersion("cuStreamWaitValue32", &found, kVersion, cudaEnableDefault));
  return found;
}

}  // namespace

HostSignal::HostSignal()
    : memory_(allocate_pinned(sizeof(std::uint32_t))),
      wait_value_(reinterpret_cast<decltype(wait_value_)>(find_wait_value())) {
  check_cuda(cudaHostGetDevicePointer(&device_address_, memory_.get(), 0));
  raise(0);
  // No attribute tells (those of CUDA 12 are about 64 bits and about NOR), so it is tried.
  const UniqueStream trial = make_stream(Priority::normal);
  if (const cudaError_t error = enqueue_wait(trial.get(), 0); error != cudaSuccess)
    throw core::Error(
        core::ExitCode::unsupported,
        fmt::format("this GPU's streams cannot wait for a value in memory ({})", cudaGetErrorName(error)));
  check_cuda(cudaStreamSynchronize(trial.get()));
}

cudaError_t HostSignal::enqueue_wait(cudaStream_t stream, std::uint32_t value) const {
  if (wait_value_ == nullptr) return cudaErrorNotSupported;
  const auto address = reinterpret_cast<CUdeviceptr>(device_address_);
  // The runtime's error codes are the driver's.
  return static_cast<cudaError_t>(wait_value_(stream, address, value, CU_STREAM_WAIT_VALUE_GEQ));
}

void HostSignal::wait(cudaStream_t stream, std::uint32_t value) const {
  check_cuda(enqueue_wait(stream, value));
}

void HostSignal::raise(std::uint32_t value) noexcept {
  std::atomic_ref(*static_cast<std::uint32_t*>(memory_.get())).store(value, std::memory_order_release);
}

}  // namespace ep::cuda
