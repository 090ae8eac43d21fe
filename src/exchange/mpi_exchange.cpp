#include <memory>
#include <utility>

#include "device/cpu_stream.hpp"
#include "exchange/over_mpi.hpp"
#include "exchange/tables.hpp"

namespace ep::exchange {
namespace {

class MpiExchange : public OverMpi {
 public:
  using OverMpi::OverMpi;

  void all_to_all(device::Stream& comm, const AllToAll& args) override {
    auto* stream = dynamic_cast<device::CpuStream*>(&comm);
    if (stream == nullptr)
      throw core::Error(core::ExitCode::unsupported, "the mpi exchange moves rows of the cpu device only");
    stream->enqueue([this, tables = std::make_shared<const Tables>(args)] { transport(tables->view()); });
  }
};

}  // namespace

std::unique_ptr<Exchange> make_mpi_exchange(const mpi::Communicator& communicator, const MpiOptions& options) {
  auto transport = make_transport(communicator, options);
  return std::make_unique<MpiExchange>(communicator.duplicate(), std::move(transport));
}

}  // namespace ep::exchange
