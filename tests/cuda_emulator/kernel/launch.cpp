#include "cuda_emulator/device/launch.hpp"

#include <limits>
#include <map>

#include <fmt/format.h>

#include "cuda_emulator/api/error.hpp"
#include "cuda_emulator/kernel/block.hpp"
#include "cuda_emulator/kernel/symbols.hpp"
#include "cuda_emulator/runtime/config.hpp"
#include "cuda_emulator/runtime/engine.hpp"
#include "cuda_emulator/runtime/memory.hpp"
#include "cuda_emulator/runtime/report.hpp"

namespace ep::emulator {
namespace {

constexpr std::size_t kDefaultSharedBytes = 48 << 10;
constexpr int kOptInSharedBytes = 227 << 10;
constexpr unsigned kMaxGridYz = 65535;
constexpr std::uint64_t kMaxThreads = 1024;
constexpr unsigned kMaxBlockZ = 64;

/// Dynamic shared memory that each kernel may ask for.
std::map<const void*, std::size_t>& shared_limits() {
  static auto& limits = *new std::map<const void*, std::size_t>;
  return limits;
}

cudaError_t check_configuration(const cudaLaunchConfig_t& config, const void* kernel) {
  const dim3 grid = config.gridDim;
  const dim3 block = config.blockDim;
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  const bool grid_ok = grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.x <= std::numeric_limits<int>::max() &&
                       grid.y <= kMaxGridYz && grid.z <= kMaxGridYz;
  if (!grid_ok || threads == 0 || threads > kMaxThreads || block.z > kMaxBlockZ) return cudaErrorInvalidConfiguration;
  const auto found = shared_limits().find(kernel);
  const std::size_t limit = found != shared_limits().end() ? found->second : kDefaultSharedBytes;
  return config.dynamicSmemBytes > limit ? cudaErrorInvalidValue : cudaSuccess;
}

void check_supported(const cudaLaunchConfig_t& config, const std::string& kernel) {
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    const cudaLaunchAttributeID id = config.attrs[i].id;
    const bool harmless = id == cudaLaunchAttributeIgnore || id == cudaLaunchAttributePriority ||
                          id == cudaLaunchAttributeAccessPolicyWindow ||
                          id == cudaLaunchAttributePreferredSharedMemoryCarveout;
    if (!harmless) fail("unsupported", fmt::format("launch attribute {} of kernel {}", static_cast<int>(id), kernel));
  }
}

/// Runs the kernel; false never, since a kernel does not wait for anything outside.
bool run_kernel(const std::string& name, const cudaLaunchConfig_t& launch, const KernelCall& call) {
  static std::uint64_t kernels_run = 0;
  if (fault_due(config().faults.kernel, kernels_run)) {
    Engine::get().set_sticky_error(cudaErrorLaunchFailure);
    return true;
  }
  if (Engine::get().sticky_error() != cudaSuccess) return true;
  const Random random = seeded_random(5, Engine::get().current()->index);
  BlockRunner::get().run_grid(name, launch.gridDim, launch.blockDim, launch.dynamicSmemBytes, call, random);
  Memory::get().check_canaries();
  return true;
}

}  // namespace

cudaError_t launch_kernel(const char* file, int line, const cudaLaunchConfig_t& launch, KernelCall call) {
  const Guard guard;
  static std::uint64_t launches = 0;
  if (fault_due(config().faults.launch, launches)) return remember(cudaErrorLaunchOutOfResources);
  const std::string name = kernel_name(call.kernel);
  check_supported(launch, name);
  if (const cudaError_t error = check_configuration(launch, call.kernel); error != cudaSuccess) return remember(error);
  for (const void* pointer : call.pointers) {
    if (pointer == nullptr || Memory::get().contains(pointer)) continue;
    fail("bad-pointer", fmt::format("{}:{}: kernel {} is given {}, which is neither device nor pinned memory", file,
                                    line, name, pointer));
  }
  Task task{.name = fmt::format("kernel {} launched at {}:{}", name, file, line),
            .work = [name, launch, call = std::move(call)] { return run_kernel(name, launch, call); }};
  Engine& engine = Engine::get();
  return remember(engine.submit(engine.stream(launch.stream), std::move(task)));
}

}  // namespace ep::emulator

using namespace ep::emulator;

extern "C" {

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  const Guard guard;
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || value > kOptInSharedBytes) return remember(cudaErrorInvalidValue);
  shared_limits()[kernel] = static_cast<std::size_t>(value);
  return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  *attributes = {};
  attributes->maxThreadsPerBlock = static_cast<int>(kMaxThreads);
  attributes->numRegs = 32;
  attributes->maxDynamicSharedSizeBytes = static_cast<int>(kDefaultSharedBytes);
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void*, int threads, std::size_t) {
  *blocks = threads > 0 ? 2048 / threads : 0;
  return cudaSuccess;
}

}  // extern "C"
