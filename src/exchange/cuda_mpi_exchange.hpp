#pragma once
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "device/cuda_stream.hpp"
#include "exchange/transport.hpp"

namespace ep::exchange {

/// What the exchanges of the cuda device over MPI have in common: all but how rows reach MPI in stream order.
class CudaMpiExchange : public Exchange {
 public:
  CudaMpiExchange(mpi::Communicator counts, std::unique_ptr<Transport> transport)
      : counts_(std::move(counts)), transport_(std::move(transport)), progress_(counts_.size()) {}

  [[nodiscard]] std::string_view name() const override { return "mpi"; }
  [[nodiscard]] std::string_view algorithm() const override { return transport_->algorithm(); }
  [[nodiscard]] Progress progress() const override { return progress_.snapshot(); }
  void exchange_counts(std::span<const std::int32_t> send, std::span<std::int32_t> recv) override {
    exchange_counts_over(counts_, send, recv);
  }

 protected:
  [[nodiscard]] int rank() const { return counts_.rank(); }
  /// The stream that `comm` is, whose device's waits from now on throw what goes wrong here. Throws Error (unsupported)
  /// for another device's stream, and during a capture.
  cudaStream_t watched(device::Stream& comm);
  /// Moves the rows. Throws Error (communication).
  void transport(const AllToAll& args);
  /// Runs `work` on a thread that cannot throw: what it throws, the device's waits do. Nothing once that has happened:
  /// the job is ending.
  void attempt(const std::function<void()>& work) noexcept;

 private:
  void rethrow() const;

  mpi::Communicator counts_;  // apart from the rows: the host exchanges counts while rows are under way
  std::unique_ptr<Transport> transport_;
  ProgressRecord progress_;
  mutable std::mutex mutex_;
  std::exception_ptr error_;
};

}  // namespace ep::exchange
