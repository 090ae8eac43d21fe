#include "cuda/gpu.hpp"

#include <cstdlib>

#include "cuda/error.hpp"

namespace ep::cuda {

Availability find_gpus() {
  int count = 0;  // stays as it is when there is no driver
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return {count, {}};
  cudaGetLastError();
  return {0, error == cudaSuccess ? "no CUDA device is visible" : cudaGetErrorString(error)};
}

std::string uuid(int ordinal) {
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, ordinal));
  return {properties.uuid.bytes, sizeof(properties.uuid.bytes)};
}

void use_gpu(int ordinal) {
  setenv("CUDA_MODULE_LOADING", "EAGER", 1);
  check_cuda(cudaSetDevice(ordinal));
}

cudaDeviceProp properties() {
  int ordinal = 0;
  check_cuda(cudaGetDevice(&ordinal));
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, ordinal));
  return properties;
}

std::int64_t free_bytes() {
  std::size_t free = 0;
  std::size_t total = 0;
  check_cuda(cudaMemGetInfo(&free, &total));
  return static_cast<std::int64_t>(free);
}

}  // namespace ep::cuda
