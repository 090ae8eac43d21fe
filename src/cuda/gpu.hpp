#pragma once
#include <cstdint>
#include <string>

#include <cuda_runtime.h>

namespace ep::cuda {

/// What this process can see. Nothing is thrown: a machine without a GPU is no error.
struct Availability {
  int gpus = 0;
  std::string reason;  // why there is none: "no CUDA-capable device is detected"
};
Availability find_gpus();

/// The GPU's own number, the same for every process that sees it, under whatever ordinal. Throws Error (cuda).
std::string uuid(int ordinal);

/// Makes `ordinal` this thread's GPU, before anything is allocated or enqueued. Has all kernels loaded at once: to load
/// one while an NCCL kernel waits for its peer can deadlock (CUDA's lazy loading may synchronise). Throws Error (cuda).
void use_gpu(int ordinal);

/// Model, compute capability, number of SMs and memory of the GPU in use. Throws Error (cuda).
cudaDeviceProp properties();

/// Free device memory of the GPU in use. Throws Error (cuda).
std::int64_t free_bytes();

}  // namespace ep::cuda
