#include <algorithm>
#include <utility>

#include "cuda/error.hpp"
#include "exchange/cuda_exchanges.hpp"
#include "exchange/cuda_mpi_exchange.hpp"
#include "exchange/tables.hpp"

namespace ep::exchange {
namespace {

/// Pinned memory that grows, and stays when a smaller exchange follows.
class Staging {
 public:
  /// At least `bytes`. What is enqueued on `stream` may use the old memory, so growing waits for it.
  std::byte* reserve(cudaStream_t stream, std::int64_t bytes) {
    if (bytes > bytes_) {
      cuda::check_cuda(cudaStreamSynchronize(stream));
      memory_.reset();
      memory_ = cuda::allocate_pinned(static_cast<std::size_t>(bytes));
      bytes_ = bytes;
    }
    return static_cast<std::byte*>(memory_.get());
  }

 private:
  cuda::UniquePinnedMemory memory_;
  std::int64_t bytes_ = 0;
};

std::int64_t bytes_spanned(const std::vector<std::int64_t>& rows, const std::vector<std::int64_t>& offsets,
                           std::int64_t row_bytes) {
  std::int64_t end = 0;
  for (std::size_t r = 0; r < rows.size(); ++r)
    if (rows[r] > 0) end = std::max(end, (offsets[r] + rows[r]) * row_bytes);
  return end;
}

class StagedExchange final : public CudaMpiExchange {
 public:
  using CudaMpiExchange::CudaMpiExchange;
  void all_to_all(device::Stream& comm, const AllToAll& args) override;

 private:
  struct Call {
    StagedExchange* exchange;
    Tables tables;
  };
  static void CUDART_CB run_call(void* call) noexcept;

  Staging send_;
  Staging recv_;
};

/// Three steps in stream order, none of which blocks the host: rows to the host, a host function that exchanges them,
/// rows to the GPU. The host function calls MPI and nothing of CUDA, which CUDA forbids in there.
void StagedExchange::all_to_all(device::Stream& comm, const AllToAll& args) {
  auto* const stream = watched(comm);
  auto call = std::make_unique<Call>(Call{this, Tables(args)});
  Tables& tables = call->tables;
  const auto own = static_cast<std::size_t>(rank());
  tables.send_rows[own] = tables.recv_rows[own] = 0;  // not moved, so not staged either
  tables.args.send = send_.reserve(stream, bytes_spanned(tables.send_rows, tables.send_offsets, args.row_bytes));
  tables.args.recv = recv_.reserve(stream, bytes_spanned(tables.recv_rows, tables.recv_offsets, args.row_bytes));
  const std::byte* const staged_send = tables.args.send;
  std::byte* const staged_recv = tables.args.recv;
  const Tables layout = tables;
  const auto copy = [&](void* to, const void* from, std::int64_t rows) {
    if (rows == 0) return;
    cuda::check_cuda(
        cudaMemcpyAsync(to, from, static_cast<std::size_t>(rows * args.row_bytes), cudaMemcpyDefault, stream));
  };
  for (std::size_t r = 0; r < layout.send_rows.size(); ++r) {
    const std::int64_t offset = layout.send_offsets[r] * args.row_bytes;
    copy(const_cast<std::byte*>(staged_send) + offset, args.send + offset, layout.send_rows[r]);
  }
  cuda::check_cuda(cudaLaunchHostFunc(stream, run_call, call.get()));
  static_cast<void>(call.release());  // run_call's now
  for (std::size_t r = 0; r < layout.recv_rows.size(); ++r) {
    const std::int64_t offset = layout.recv_offsets[r] * args.row_bytes;
    copy(args.recv + offset, staged_recv + offset, layout.recv_rows[r]);
  }
}

void StagedExchange::run_call(void* call) noexcept {
  const std::unique_ptr<Call> owned(static_cast<Call*>(call));
  owned->exchange->attempt([&] { owned->exchange->transport(owned->tables.view()); });
}

}  // namespace

std::unique_ptr<Exchange> make_staged_exchange(const mpi::Communicator& communicator, const MpiOptions& options) {
  auto transport = make_transport(communicator, by_messages(options));
  return std::make_unique<StagedExchange>(communicator.duplicate(), std::move(transport));
}

}  // namespace ep::exchange
