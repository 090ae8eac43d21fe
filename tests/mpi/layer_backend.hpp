#pragma once
#include <memory>

#include "device/device.hpp"
#include "exchange/exchange.hpp"

namespace ep::layer {

/// What the layer's tests run on.
struct LayerBackend {
  std::unique_ptr<exchange::Exchange> exchange;
  std::unique_ptr<device::Device> device;  // goes first: its streams use the exchange
  double clock_tolerance_us = 0;           // between the device's times and the host's
};

/// Each program that runs the layer's tests links one definition. @pre collective
LayerBackend make_layer_backend(const mpi::Communicator& communicator);

}  // namespace ep::layer
