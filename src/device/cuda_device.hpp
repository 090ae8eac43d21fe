#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "device/device.hpp"

namespace ep::device {

/// Says in the environment how CUDA is to start: the first thing a program does, before MPI_Init, since a CUDA-aware
/// MPI starts CUDA there. Nothing in a build without CUDA.
void prepare_cuda_environment();

/// What this process could run on.
struct CudaAvailability {
  int gpus = 0;
  std::string reason;  // why there is none, in the driver's words
};
CudaAvailability find_cuda_gpus();

/// The GPU's own number (16 bytes), by which processes tell whether they share it. Throws Error (cuda).
std::string cuda_uuid(int ordinal);

/// Whether times are those of the emulator that tests run on, and mean nothing.
bool cuda_is_emulated();

struct CudaOptions {
  int ordinal = 0;
  int gemm_sms = 0;  // SMs that GEMMs may occupy, leaving the others to communication; 0: all
  /// Makes MemoryUse::send and ::receive buffers, where the exchange wants memory of its own kind; empty: cudaMalloc.
  std::function<Buffer(std::int64_t size_bytes)> allocate_exchange;
};

/// A GPU: two non-blocking streams, communication at high priority. bf16 payloads are computed in bf16. Throws Error
/// (cuda), Error (unsupported) in a build without CUDA.
std::unique_ptr<Device> make_cuda_device(const CudaOptions& options);

}  // namespace ep::device
