// The GPU's exchanges of a build without CUDA: there are none, and they say so.

#include "core/error.hpp"
#include "exchange/cuda_exchanges.hpp"

namespace ep::exchange {
namespace {

[[noreturn]] void refuse() {
  throw core::Error(core::ExitCode::unsupported, "this epbench was built without CUDA");
}

}  // namespace

std::unique_ptr<Exchange> make_nccl_exchange(const mpi::Communicator& /*communicator*/,
                                             const NcclOptions& /*options*/) {
  refuse();
}

device::Buffer allocate_for_nccl(std::int64_t /*size_bytes*/) {
  refuse();
}

device::Buffer allocate_registered(Exchange& /*exchange*/, std::int64_t /*size_bytes*/) {
  refuse();
}

std::unique_ptr<Exchange> make_staged_exchange(const mpi::Communicator& /*communicator*/,
                                               const MpiOptions& /*options*/) {
  refuse();
}

std::string device_rows_refusal() {
  refuse();
}

std::unique_ptr<Exchange> make_cuda_aware_exchange(const mpi::Communicator& /*communicator*/,
                                                   const MpiOptions& /*options*/) {
  refuse();
}

}  // namespace ep::exchange
