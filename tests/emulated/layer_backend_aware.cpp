#include "device/cuda_device.hpp"
#include "exchange/cuda_exchanges.hpp"
#include "tests/emulated/cuda_aware_mpi.hpp"
#include "tests/mpi/layer_backend.hpp"

namespace ep::layer {

/// All ranks share the first GPU.
LayerBackend make_layer_backend(const mpi::Communicator& communicator) {
  return {exchange::make_cuda_aware_exchange(communicator, {}), device::make_cuda_device({}), 1000};
}

}  // namespace ep::layer
