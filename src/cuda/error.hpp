#pragma once
#include <cuda_runtime.h>

#include "core/error.hpp"
#include "core/source_location.hpp"

namespace ep::cuda {

/// Throws core::Error (cuda) naming the CUDA error and the place unless `code` is cudaSuccess.
void check_cuda(cudaError_t code, core::SourceLocation where = core::SourceLocation::current());

}  // namespace ep::cuda
