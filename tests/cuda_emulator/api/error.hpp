#pragma once
#include <cuda_runtime.h>

namespace ep::emulator {

/// Keeps an error for this thread's cudaGetLastError, and returns it. Success is not kept.
cudaError_t remember(cudaError_t error);

}  // namespace ep::emulator
