// The one function of the driver that the project asks the runtime for: a stream's wait for a value in memory.
#include <atomic>
#include <cstdint>
#include <string_view>

#include <cuda.h>
#include <cuda_runtime.h>

#include "cuda_emulator/api/error.hpp"
#include "cuda_emulator/checker/checker.hpp"
#include "cuda_emulator/runtime/config.hpp"
#include "cuda_emulator/runtime/engine.hpp"
#include "cuda_emulator/runtime/memory.hpp"
#include "cuda_emulator/runtime/report.hpp"

using namespace ep::emulator;

namespace {

constexpr unsigned kSecondVersion = 11070;  // of CUDA, since which the function has the meaning emulated here

struct Condition {
  std::uint32_t* at;
  std::uint32_t value;
  unsigned kind;

  bool holds() const {
    const std::uint32_t now = std::atomic_ref(*at).load(std::memory_order_acquire);
    switch (kind) {
      case CU_STREAM_WAIT_VALUE_GEQ:
        return static_cast<std::int32_t>(now - value) >= 0;
      case CU_STREAM_WAIT_VALUE_EQ:
        return now == value;
      default:
        return (now & value) != 0;
    }
  }
};

CUresult wait_value(CUstream handle, CUdeviceptr address, cuuint32_t value, unsigned flags) {
  const Guard guard;
  if (!config().stream_wait_values) return CUDA_ERROR_NOT_SUPPORTED;
  if (flags > CU_STREAM_WAIT_VALUE_AND) fail("unsupported", "cuStreamWaitValue32 with NOR or a flush");
  Engine& engine = Engine::get();
  Stream& stream = engine.stream(handle);
  if (stream.capture != nullptr) fail("unsupported", "cuStreamWaitValue32 in a capture");
  const Condition condition{reinterpret_cast<std::uint32_t*>(address), value, flags};
  if (address % sizeof(value) != 0) return CUDA_ERROR_INVALID_VALUE;
  Memory::get().require_range(condition.at, sizeof(value), "cuStreamWaitValue32");
  const auto poll = [condition] {
    if (Engine::get().sticky_error() != cudaSuccess) return true;
    Memory::get().require_range(condition.at, sizeof(std::uint32_t), "cuStreamWaitValue32");
    if (!condition.holds()) return false;
    Checker::get().on_acquire(condition.at, sizeof(std::uint32_t));
    return true;
  };
  return static_cast<CUresult>(engine.submit(stream, {.name = "cuStreamWaitValue32", .work = poll}));
}

}  // namespace

extern "C" {

cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned version, unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  if (version > CUDART_VERSION) return remember(cudaErrorInvalidValue);
  *function = nullptr;
  const bool known = std::string_view(symbol) == "cuStreamWaitValue32";
  if (known && version >= kSecondVersion) *function = reinterpret_cast<void*>(&wait_value);
  if (result == nullptr) return cudaSuccess;
  *result = *function != nullptr ? cudaDriverEntryPointSuccess
            : known              ? cudaDriverEntryPointVersionNotSufficent
                                 : cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}

}  // extern "C"
