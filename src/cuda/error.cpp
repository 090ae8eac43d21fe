#include "cuda/error.hpp"

namespace ep::cuda {

void check_cuda(cudaError_t code, core::SourceLocation where) {
  if (code == cudaSuccess) return;
  cudaGetLastError();  // else a later call of ours or of a library would report it again
  throw core::Error(core::ExitCode::cuda, fmt::format("{}: {} ({}:{})", cudaGetErrorName(code),
                                                      cudaGetErrorString(code), where.file_name(), where.line()));
}

}  // namespace ep::cuda
