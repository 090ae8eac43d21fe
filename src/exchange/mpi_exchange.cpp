#include <memory>
#include <utility>

#include "device/cpu_stream.hpp"
#include "exchange/tables.hpp"
#include "exchange/transport.hpp"

namespace ep::exchange {
namespace {

class MpiExchange : public Exchange {
 public:
  MpiExchange(mpi::Communicator counts, std::unique_ptr<Transport> transport)
      : counts_(std::move(counts)), transport_(std::move(transport)), progress_(counts_.size()) {}

  [[nodiscard]] std::string_view name() const override { return "mpi"; }
  [[nodiscard]] std::string_view algorithm() const override { return transport_->algorithm(); }
  [[nodiscard]] Progress progress() const override { return progress_.snapshot(); }

  void exchange_counts(std::span<const std::int32_t> send, std::span<std::int32_t> recv) override {
    exchange_counts_over(counts_, send, recv);
  }

  void all_to_all(device::Stream& comm, const AllToAll& args) override {
    auto* stream = dynamic_cast<device::CpuStream*>(&comm);
    if (stream == nullptr)
      throw core::Error(core::ExitCode::unsupported, "the mpi exchange moves rows of the cpu device only");
    stream->enqueue([this, tables = std::make_shared<const Tables>(args)] { run(tables->view()); });
  }

 private:
  void run(const AllToAll& args) {
    progress_.start(args, counts_.rank());
    transport_->run(args, progress_);
    progress_.finish();
  }

  mpi::Communicator counts_;  // apart from the rows: the host exchanges counts while rows are under way
  std::unique_ptr<Transport> transport_;
  ProgressRecord progress_;
};

}  // namespace

std::unique_ptr<Exchange> make_mpi_exchange(const mpi::Communicator& communicator, const MpiOptions& options) {
  auto transport = make_transport(communicator, options);
  return std::make_unique<MpiExchange>(communicator.duplicate(), std::move(transport));
}

}  // namespace ep::exchange
