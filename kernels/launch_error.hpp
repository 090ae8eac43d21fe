#pragma once
#include <string>

namespace ep::kernels::gpu {

// What .cu files throw, made elsewhere: nvcc does not take the formatting library behind core/error.hpp.

/// Throws core::Error (unsupported).
[[noreturn]] void throw_unsupported(const std::string& message);
/// Throws core::Error (cuda).
[[noreturn]] void throw_cuda(const std::string& message);

}  // namespace ep::kernels::gpu
