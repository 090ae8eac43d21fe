#pragma once
#include <memory>
#include <utility>

#include "exchange/transport.hpp"

namespace ep::exchange {

/// What the exchanges over MPI have in common: all but how rows and the device's streams meet.
class OverMpi : public Exchange {
 public:
  OverMpi(mpi::Communicator counts, std::unique_ptr<Transport> transport)
      : counts_(std::move(counts)), transport_(std::move(transport)), progress_(counts_.size()) {}

  [[nodiscard]] std::string_view name() const override { return "mpi"; }
  [[nodiscard]] std::string_view algorithm() const override { return transport_->algorithm(); }
  [[nodiscard]] bool reads_senders_memory() const override { return transport_->reads_senders_memory(); }
  [[nodiscard]] std::string_view within_node() const override { return transport_->within_node(); }
  [[nodiscard]] Progress progress() const override { return progress_.snapshot(); }
  void exchange_counts(std::span<const std::int32_t> send, std::span<std::int32_t> recv) override {
    exchange_counts_over(counts_, send, recv);
  }

 protected:
  [[nodiscard]] int rank() const { return counts_.rank(); }
  /// Moves the rows, on the calling thread. Throws Error (communication).
  void transport(const AllToAll& args) {
    progress_.start(args, rank());
    transport_->run(args, progress_);
    progress_.finish();
  }

 private:
  mpi::Communicator counts_;  // apart from the rows: the host exchanges counts while rows are under way
  std::unique_ptr<Transport> transport_;
  ProgressRecord progress_;
};

}  // namespace ep::exchange
