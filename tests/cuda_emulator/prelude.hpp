// Included in front of every emulated source (-include): gives a C++ compiler the CUDA language. NVIDIA's own headers
// follow unchanged, so that a drift between them and the project is a compile error.
#pragma once

#define EP_CUDA_EMULATED 1

// Block scope implies static, and kernels run on one OS thread: one instance, found by the checker in the ELF TLS.
#define __shared__ thread_local
#define __launch_bounds__(...)

#ifdef __SANITIZE_THREAD__
// GCC leaves these calls to libtsan, which would have its own. Renamed before anybody declares them, so that sources
// and the compiler itself call the checker's.
#include <cstddef>
extern "C" {
void* memcpy(void* to, const void* from, std::size_t bytes) noexcept __asm__("ep_emulator_memcpy");
void* memmove(void* to, const void* from, std::size_t bytes) noexcept __asm__("ep_emulator_memmove");
void* memset(void* to, int value, std::size_t bytes) noexcept __asm__("ep_emulator_memset");
}
#endif

#include <cuda_runtime.h>

#include "cuda_emulator/device/atomics.hpp"
#include "cuda_emulator/device/intrinsics.hpp"
#include "cuda_emulator/device/launch.hpp"
#include "cuda_emulator/device/synchronization.hpp"
