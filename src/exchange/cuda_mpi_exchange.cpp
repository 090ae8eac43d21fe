#include "exchange/cuda_mpi_exchange.hpp"

namespace ep::exchange {

MpiOptions by_messages(MpiOptions options) {
  options.direct_in_node = false;
  return options;
}

cudaStream_t CudaMpiExchange::watched(device::Stream& comm) {
  auto* const stream = dynamic_cast<device::CudaStream*>(&comm);
  if (stream == nullptr)
    throw core::Error(core::ExitCode::unsupported, "this exchange moves rows of the cuda device only");
  if (stream->capture() != nullptr)
    throw core::Error(core::ExitCode::unsupported, "an exchange over MPI cannot be part of a graph");
  stream->set_watch([this] { rethrow(); });
  return stream->get();
}

void CudaMpiExchange::attempt(const std::function<void()>& work) noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (error_ != nullptr) return;
  }
  try {
    work();
  } catch (...) {
    const std::lock_guard lock(mutex_);
    error_ = std::current_exception();
  }
}

void CudaMpiExchange::rethrow() const {
  const std::lock_guard lock(mutex_);
  if (error_ != nullptr) std::rethrow_exception(error_);
}

}  // namespace ep::exchange
