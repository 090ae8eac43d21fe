// One GPU for each rank, in order: the emulated machine has eight.
#pragma once
#include <memory>

#include "device/cuda_device.hpp"
#include "exchange/cuda_exchanges.hpp"

namespace ep::exchange {

inline std::unique_ptr<device::Device> make_device_for_nccl() {
  device::CudaOptions options;
  options.ordinal = mpi::Communicator::world().rank();
  options.allocate_exchange = allocate_for_nccl;
  return device::make_cuda_device(options);
}

/// A communicator belongs to the GPU in use, which making a device chooses.
inline std::unique_ptr<Exchange> make_nccl_on_own_gpu(const mpi::Communicator& communicator) {
  make_device_for_nccl();
  return make_nccl_exchange(communicator, {});
}

}  // namespace ep::exchange
