#pragma once
#include <string>

#include <cuda_runtime.h>

namespace ep::cuda {

// Names that NVIDIA's profilers show, in the domain "epbench". Next to nothing when no profiler is attached.

/// Opens a range around what this thread enqueues until end_range: kernels and copies are shown under its name.
void begin_range(const std::string& name);
void end_range() noexcept;

void name_stream(cudaStream_t stream, const char* name);

}  // namespace ep::cuda
