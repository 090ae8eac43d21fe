#include "exchange_suite.hpp"

namespace ep::exchange {
namespace {

ExchangeBackend backend(const std::string& name, const MpiOptions& options) {
  return {name, [] { return device::make_cpu_device({.threads = 1}); },
          [options](const mpi::Communicator& communicator) { return make_mpi_exchange(communicator, options); }};
}

std::vector<ExchangeBackend> backends() {
  MpiOptions windowed;
  MpiOptions between;
  between.direct_in_node = false;
  between.in_node = between.between_nodes;  // as if every rank had a node of its own
  MpiOptions collective;
  collective.algorithm = "ialltoallv";
  return {backend("windowed", windowed), backend("windowed_in_rounds", between), backend("ialltoallv", collective)};
}

INSTANTIATE_TEST_SUITE_P(CpuMpi, ExchangeSuite, testing::ValuesIn(backends()), name_of);

}  // namespace
}  // namespace ep::exchange
