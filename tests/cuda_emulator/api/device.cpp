// The invented device: what a program may ask about it. Its name says that it is emulated.
#include "cuda_emulator/api/device.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "cuda_emulator/api/error.hpp"
#include "cuda_emulator/runtime/config.hpp"
#include "cuda_emulator/runtime/engine.hpp"

using namespace ep::emulator;

namespace {

constexpr int kMultiprocessors = 4;
constexpr int kMajor = 9;
constexpr int kMinor = 0;
constexpr int kSharedBytes = 48 << 10;
constexpr int kOptInSharedBytes = 227 << 10;
constexpr int kMaxThreads = 1024;
constexpr int kPciBus = 0x10;

thread_local int current_device = 0;
std::atomic<int> chosen_device = 0;  // the latest of any thread

/// Indices, on the invented machine, of the devices that CUDA_VISIBLE_DEVICES leaves visible.
std::vector<int> visible_devices() {
  std::vector<int> visible;
  const char* list = std::getenv("CUDA_VISIBLE_DEVICES");
  if (list == nullptr) {
    for (int i = 0; i < config().device_count; ++i) visible.push_back(i);
    return visible;
  }
  std::istringstream words(list);
  for (std::string word; std::getline(words, word, ',');) {
    char* end = nullptr;
    const long index = std::strtol(word.c_str(), &end, 10);
    // CUDA sees nothing from the first wrong entry on.
    if (end == word.c_str() || index < 0 || index >= config().device_count) break;
    visible.push_back(static_cast<int>(index));
  }
  return visible;
}

/// cudaSuccess when a driver and at least one device answer.
cudaError_t availability() {
  static const bool kStarted = (check_environment_of_cuda("the first look for a device"), true);
  static_cast<void>(kStarted);
  if (config().device_count < 0) return cudaErrorInsufficientDriver;
  return visible_devices().empty() ? cudaErrorNoDevice : cudaSuccess;
}

cudaError_t check_device(int device) {
  if (const cudaError_t error = availability(); error != cudaSuccess) return remember(error);
  const bool known = device >= 0 && static_cast<std::size_t>(device) < visible_devices().size();
  return known ? cudaSuccess : remember(cudaErrorInvalidDevice);
}

cudaUUID_t uuid_of(int machine_index) {
  const auto index = static_cast<std::size_t>(machine_index);
  const std::string text =
      index < config().uuids.size() ? config().uuids[index] : fmt::format("emulated-gpu-{:03}", machine_index);
  cudaUUID_t uuid{};
  std::copy_n(text.begin(), std::min(text.size(), sizeof(uuid.bytes)), uuid.bytes);
  return uuid;
}

}  // namespace

bool ep::emulator::thread_uses_chosen_device() {
  return current_device == chosen_device;
}

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  const Guard guard;
  if (const cudaError_t error = availability(); error != cudaSuccess) return remember(error);
  *count = static_cast<int>(visible_devices().size());
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  const Guard guard;
  if (const cudaError_t error = check_device(device); error != cudaSuccess) return error;
  current_device = chosen_device = device;
  return cudaSuccess;
}

cudaError_t cudaInitDevice(int device, unsigned, unsigned) {
  return cudaSetDevice(device);
}

cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  const Guard guard;
  if (const cudaError_t error = check_device(device); error != cudaSuccess) return error;
  std::memset(properties, 0, sizeof(*properties));
  std::snprintf(properties->name, sizeof(properties->name), "emulated GPU");
  const int machine_index = visible_devices()[static_cast<std::size_t>(device)];
  properties->uuid = uuid_of(machine_index);
  properties->totalGlobalMem = config().device_bytes;
  properties->sharedMemPerBlock = kSharedBytes;
  properties->sharedMemPerBlockOptin = kOptInSharedBytes;
  properties->sharedMemPerMultiprocessor = kOptInSharedBytes + 1024;
  properties->regsPerBlock = properties->regsPerMultiprocessor = 65536;
  properties->warpSize = 32;
  properties->maxThreadsPerBlock = kMaxThreads;
  properties->maxThreadsPerMultiProcessor = 2048;
  properties->maxThreadsDim[0] = properties->maxThreadsDim[1] = kMaxThreads;
  properties->maxThreadsDim[2] = 64;
  properties->maxGridSize[0] = 0x7fffffff;
  properties->maxGridSize[1] = properties->maxGridSize[2] = 65535;
  properties->major = kMajor;
  properties->minor = kMinor;
  properties->multiProcessorCount = kMultiprocessors;
  properties->concurrentKernels = properties->unifiedAddressing = properties->memoryPoolsSupported = 1;
  properties->streamPrioritiesSupported = properties->canMapHostMemory = 1;
  properties->asyncEngineCount = 2;
  properties->l2CacheSize = 1 << 20;
  properties->pciBusID = kPciBus + machine_index;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  const Guard guard;
  cudaDeviceProp properties;
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, device); error != cudaSuccess) return error;
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = properties.multiProcessorCount;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = kSharedBytes;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = kOptInSharedBytes;
      break;
    case cudaDevAttrMaxThreadsPerBlock:
      *value = kMaxThreads;
      break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = properties.maxThreadsPerMultiProcessor;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = kMajor;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = kMinor;
      break;
    case cudaDevAttrWarpSize:
      *value = properties.warpSize;
      break;
    case cudaDevAttrL2CacheSize:
      *value = properties.l2CacheSize;
      break;
    case cudaDevAttrGPUDirectRDMAFlushWritesOptions:
      *value = cudaFlushGPUDirectRDMAWritesOptionHost;
      break;
    case cudaDevAttrMemoryPoolsSupported:
      *value = 1;
      break;
    case cudaDevAttrPciBusId:
      *value = properties.pciBusID;
      break;
    default:
      *value = 0;
  }
  return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char* text, int bytes, int device) {
  const Guard guard;
  if (const cudaError_t error = check_device(device); error != cudaSuccess) return error;
  const int bus = kPciBus + visible_devices()[static_cast<std::size_t>(device)];
  std::snprintf(text, static_cast<std::size_t>(bytes), "0000:%02x:00.0", static_cast<unsigned>(bus));
  return cudaSuccess;
}

cudaError_t cudaDeviceCanAccessPeer(int* can, int, int) {
  *can = 1;
  return cudaSuccess;
}

// Nothing arrives late here.
cudaError_t cudaDeviceFlushGPUDirectRDMAWrites(cudaFlushGPUDirectRDMAWritesTarget, cudaFlushGPUDirectRDMAWritesScope) {
  return cudaSuccess;
}

cudaError_t cudaDeviceReset() {
  return cudaDeviceSynchronize();
}
cudaError_t cudaSetDeviceFlags(unsigned) {
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = config().device_count < 0 ? 0 : CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaProfilerStart() {
  return cudaSuccess;
}
cudaError_t cudaProfilerStop() {
  return cudaSuccess;
}

}  // extern "C"
