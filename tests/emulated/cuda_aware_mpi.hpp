// Makes the emulator's MPI CUDA-aware, which means nothing to a real one, and has a real one start CUDA as it should.
#pragma once
#include <cstdlib>

#include "device/cuda_device.hpp"

namespace ep::exchange {

/// Before main, since the emulator reads its environment when it is first called.
inline const bool kMpiIsCudaAware = setenv("EP_EMU_CUDA_AWARE", "1", 1) == 0;
/// Before MPI_Init, in which a CUDA-aware MPI starts CUDA.
inline const bool kCudaIsPrepared = (device::prepare_cuda_environment(), true);

}  // namespace ep::exchange
