// The cuda device of a build without CUDA: there is none, and it says so.

#include "core/error.hpp"
#include "device/cuda_device.hpp"

namespace ep::device {
namespace {

constexpr const char* kAbsent = "this epbench was built without CUDA";

}  // namespace

void prepare_cuda_environment() {}

CudaAvailability find_cuda_gpus() {
  return {0, kAbsent};
}

std::string cuda_uuid(int /*ordinal*/) {
  throw core::Error(core::ExitCode::unsupported, kAbsent);
}

bool cuda_is_emulated() {
  return false;
}

std::unique_ptr<Device> make_cuda_device(const CudaOptions& /*options*/) {
  throw core::Error(core::ExitCode::unsupported, kAbsent);
}

}  // namespace ep::device
