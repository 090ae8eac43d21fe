#pragma once

namespace ep::kernels {

/// A cudaStream_t, without its header.
using StreamHandle = void*;

}  // namespace ep::kernels
