#pragma once
#include <cstdint>
#include <string>

#include <cuda_runtime.h>

namespace ep::cuda {

/// Says in the environment how CUDA is to start, so before anything of CUDA is called: MPI_Init counts, where MPI is
/// CUDA-aware. All kernels are to be loaded at once: to load one while an NCCL kernel waits for its peer can deadlock
/// (CUDA's lazy loading may synchronise). Streams are to share none of the GPU's queues, as far as there are enough,
/// unless the environment says how many to use: behind a stream that waits for the host, a copy that the host waits for
/// would never run. Called again, does nothing.
void prepare_environment();

/// What this process can see. Nothing is thrown: a machine without a GPU is no error.
struct Availability {
  int gpus = 0;
  std::string reason;  // why there is none: "no CUDA-capable device is detected"
};
Availability find_gpus();

/// The GPU's own number, the same for every process that sees it, under whatever ordinal. Throws Error (cuda).
std::string uuid(int ordinal);

/// Makes `ordinal` this thread's GPU, before anything is allocated or enqueued. Throws Error (cuda).
void use_gpu(int ordinal);

/// The GPU that this thread uses, and makes a further thread of the process use the same: each starts with number 0.
/// Both throw Error (cuda).
int gpu_in_use();
void share_gpu(int ordinal);

/// Has what other devices (a network card) wrote into the memory of the GPU in use seen by what it runs from now on.
/// Does nothing where none can write there. Throws Error (cuda).
void flush_remote_writes();

/// Model, compute capability, number of SMs and memory of the GPU in use. Throws Error (cuda).
cudaDeviceProp properties();

/// Free device memory of the GPU in use. Throws Error (cuda).
std::int64_t free_bytes();

}  // namespace ep::cuda
