#include <algorithm>
#include <exception>
#include <mutex>
#include <utility>

#include "cuda/error.hpp"
#include "device/cuda_stream.hpp"
#include "exchange/cuda_exchanges.hpp"
#include "exchange/tables.hpp"
#include "exchange/transport.hpp"

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

class StagedExchange final : public Exchange {
 public:
  StagedExchange(mpi::Communicator counts, std::unique_ptr<Transport> transport)
      : counts_(std::move(counts)), transport_(std::move(transport)), progress_(counts_.size()) {}

  [[nodiscard]] std::string_view name() const override { return "mpi"; }
  [[nodiscard]] std::string_view algorithm() const override { return transport_->algorithm(); }
  [[nodiscard]] Progress progress() const override { return progress_.snapshot(); }
  void exchange_counts(std::span<const std::int32_t> send, std::span<std::int32_t> recv) override {
    exchange_counts_over(counts_, send, recv);
  }
  void all_to_all(device::Stream& comm, const AllToAll& args) override;

 private:
  struct Call {
    StagedExchange* exchange;
    Tables tables;
  };
  static void CUDART_CB run_call(void* call) noexcept;
  void run(const AllToAll& args);
  void rethrow() const;

  mpi::Communicator counts_;
  std::unique_ptr<Transport> transport_;
  ProgressRecord progress_;
  Staging send_;
  Staging recv_;
  mutable std::mutex mutex_;
  std::exception_ptr error_;  // of the host function, which cannot throw
};

/// Three steps in stream order, none of which blocks the host: rows to the host, a host function that exchanges them,
/// rows to the GPU. The host function calls MPI and nothing of CUDA, which CUDA forbids in there.
void StagedExchange::all_to_all(device::Stream& comm, const AllToAll& args) {
  auto* const cuda_stream = dynamic_cast<device::CudaStream*>(&comm);
  if (cuda_stream == nullptr)
    throw core::Error(core::ExitCode::unsupported, "the staged exchange moves rows of the cuda device only");
  if (cuda_stream->capture() != nullptr)
    throw core::Error(core::ExitCode::unsupported, "an exchange over MPI cannot be part of a graph");
  cuda_stream->set_watch([this] { rethrow(); });
  auto* const stream = cuda_stream->get();
  auto call = std::make_unique<Call>(Call{this, Tables(args)});
  Tables& tables = call->tables;
  const auto own = static_cast<std::size_t>(counts_.rank());
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
  owned->exchange->run(owned->tables.view());
}

void StagedExchange::run(const AllToAll& args) {
  {
    const std::lock_guard lock(mutex_);
    if (error_ != nullptr) return;  // the job is ending
  }
  try {
    progress_.start(args, counts_.rank());
    transport_->run(args, progress_);
    progress_.finish();
  } catch (...) {
    const std::lock_guard lock(mutex_);
    error_ = std::current_exception();
  }
}

void StagedExchange::rethrow() const {
  const std::lock_guard lock(mutex_);
  if (error_ != nullptr) std::rethrow_exception(error_);
}

}  // namespace

std::unique_ptr<Exchange> make_staged_exchange(const mpi::Communicator& communicator, const MpiOptions& options) {
  auto transport = make_transport(communicator, options);
  return std::make_unique<StagedExchange>(communicator.duplicate(), std::move(transport));
}

}  // namespace ep::exchange
