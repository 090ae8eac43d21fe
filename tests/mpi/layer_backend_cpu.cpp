#include "tests/mpi/layer_backend.hpp"

namespace ep::layer {

LayerBackend make_layer_backend(const mpi::Communicator& communicator) {
  return {exchange::make_mpi_exchange(communicator, {}), device::make_cpu_device({.threads = 1})};
}

}  // namespace ep::layer
