// Included in front of every emulated source (-include): gives a C++ compiler the CUDA language. NVIDIA's own headers
// follow unchanged, so that a drift between them and the project is a compile error.
#pragma once

#define EP_CUDA_EMULATED 1

// Block scope implies static, and kernels run on one OS thread: one instance, found by the checker in the ELF TLS.
#define __shared__ thread_local
#define __launch_bounds__(...)

#include <cuda_runtime.h>

#include "cuda_emulator/device/atomics.hpp"
#include "cuda_emulator/device/intrinsics.hpp"
#include "cuda_emulator/device/launch.hpp"
#include "cuda_emulator/device/synchronization.hpp"
