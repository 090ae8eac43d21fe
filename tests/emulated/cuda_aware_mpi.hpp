// Makes the emulator's MPI CUDA-aware. Means nothing to a real one.
#pragma once
#include <cstdlib>

namespace ep::exchange {

/// Before main, since the emulator reads its environment when it is first called.
inline const bool kMpiIsCudaAware = setenv("EP_EMU_CUDA_AWARE", "1", 1) == 0;

}  // namespace ep::exchange
