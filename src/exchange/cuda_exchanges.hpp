#pragma once
#include <memory>
#include <string>

#include "exchange/exchange.hpp"

namespace ep::exchange {

struct NcclOptions {
  int ctas = 0;           // SMs that NCCL occupies; 0: as NCCL likes
  double timeout_s = 60;  // an exchange that takes longer has lost a rank
};

/// Grouped ncclSend and ncclRecv on the communication stream of the cuda device; counts go over MPI. The GPU in use
/// becomes this rank's, and every pair of ranks is connected before it returns. Must outlive what was enqueued through
/// it. Throws Error (communication), Error (timeout); Error (unsupported) in a build without CUDA. @pre collective
std::unique_ptr<Exchange> make_nccl_exchange(const mpi::Communicator& communicator, const NcclOptions& options);

/// Buffers as NCCL likes them (device::CudaOptions::allocate_exchange). Throws Error (unsupported).
device::Buffer allocate_for_nccl(std::int64_t size_bytes);

/// The same, registered with `exchange` (ncclCommRegister), which must outlive them; Exchange::registration says
/// whether NCCL granted it. Throws Error (unsupported) for another exchange than NCCL's, Error (communication).
device::Buffer allocate_registered(Exchange& exchange, std::int64_t size_bytes);

/// Exchange over MPI for the cuda device, through pinned host memory: rows are copied to the host, sent by the same
/// transports as the cpu device's, and copied back, all in the order of the communication stream. Several ranks may
/// share one GPU. Must outlive what was enqueued through it. Throws as make_mpi_exchange. @pre collective
std::unique_ptr<Exchange> make_staged_exchange(const mpi::Communicator& communicator, const MpiOptions& options);

/// Why this rank's rows cannot go over MPI from and to the memory of the GPU in use: MPI does not say that it takes
/// such memory, or the GPU's streams cannot wait for the host. Empty where they can. Throws Error (cuda).
std::string device_rows_refusal();

/// The same without the detour, for an MPI that is CUDA-aware: a thread of its own moves the rows from and to device
/// memory, on the GPU in use now. Throws as make_mpi_exchange; Error (unsupported) where device_rows_refusal says why;
/// Error (cuda). @pre collective, device_rows_refusal() is empty on every rank or none
std::unique_ptr<Exchange> make_cuda_aware_exchange(const mpi::Communicator& communicator, const MpiOptions& options);

}  // namespace ep::exchange
