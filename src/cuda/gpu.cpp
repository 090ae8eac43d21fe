#include "cuda/gpu.hpp"

#include <cstdlib>

#include "cuda/error.hpp"

namespace ep::cuda {

void prepare_environment() {
  // Once: later, other threads may be reading the environment.
  static const bool kPrepared = [] {
    setenv("CUDA_MODULE_LOADING", "EAGER", 1);
    setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);
    return true;
  }();
  static_cast<void>(kPrepared);
}

// A program that has not prepared the environment in its main is late only where its MPI has started CUDA.
Availability find_gpus() {
  prepare_environment();
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
  prepare_environment();
  check_cuda(cudaSetDevice(ordinal));
}

int gpu_in_use() {
  int ordinal = 0;
  check_cuda(cudaGetDevice(&ordinal));
  return ordinal;
}

void share_gpu(int ordinal) {
  check_cuda(cudaSetDevice(ordinal));
}

void flush_remote_writes() {
  int how = 0;
  check_cuda(cudaDeviceGetAttribute(&how, cudaDevAttrGPUDirectRDMAFlushWritesOptions, gpu_in_use()));
  if ((how & cudaFlushGPUDirectRDMAWritesOptionHost) == 0) return;
  check_cuda(cudaDeviceFlushGPUDirectRDMAWrites(cudaFlushGPUDirectRDMAWritesTargetCurrentDevice,
                                                cudaFlushGPUDirectRDMAWritesToOwner));
}

cudaDeviceProp properties() {
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, gpu_in_use()));
  return properties;
}

std::int64_t free_bytes() {
  std::size_t free = 0;
  std::size_t total = 0;
  check_cuda(cudaMemGetInfo(&free, &total));
  return static_cast<std::int64_t>(free);
}

}  // namespace ep::cuda
