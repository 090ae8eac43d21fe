#include "tests/emulated/one_gpu_a_rank.hpp"
#include "tests/mpi/layer_backend.hpp"

namespace ep::layer {

LayerBackend make_layer_backend(const mpi::Communicator& communicator) {
  LayerBackend backend;
  backend.device = exchange::make_device_for_nccl();
  backend.exchange = exchange::make_nccl_exchange(communicator, {});
  backend.clock_tolerance_us = 1000;
  return backend;
}

}  // namespace ep::layer
