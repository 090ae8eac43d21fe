#include "kernels/launch_error.hpp"

#include "core/error.hpp"

namespace ep::kernels::gpu {

void throw_unsupported(const std::string& message) {
  throw core::Error(core::ExitCode::unsupported, message);
}

void throw_cuda(const std::string& message) {
  throw core::Error(core::ExitCode::cuda, message);
}

}  // namespace ep::kernels::gpu
