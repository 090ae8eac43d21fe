#pragma once
#include <cstdint>

#include "cost/fits.hpp"
#include "cost/machine.hpp"
#include "device/device.hpp"
#include "exchange/exchange.hpp"
#include "mpi/clock_sync.hpp"
#include "mpi/communicator.hpp"
#include "placement/placement.hpp"
#include "plan/plan.hpp"

namespace ep::calibration {

/// The job whose constants are wanted; the routing that will be measured is not part of it.
struct CalibrationInput {
  const placement::Placement& placement;
  const placement::Topology& topology;
  plan::LayerShape shape;
  int topk = 0;
  std::int64_t tokens = 0;  // of the whole job, to choose sizes near those that will be priced
  std::uint64_t seed = 0;
  double budget_us = 1.5e6;                                      // stop adding measurements past this
  schedule::Direction direction = schedule::Direction::forward;  // whose operations will be priced
};

struct Calibration {
  cost::Machine machine;
  cost::Fits fits;  // of its links, kernels and GEMMs
};

/// Measures the constants of the cost model on this machine in about `budget_us` (more where setting the layer up
/// takes that long), all ranks at once, as the layer will run: links by exchanges between one pair and between all;
/// kernels and GEMMs by running the layer on uniform routings of a few smaller sizes; interference by running a GEMM
/// beside an exchange. Every sample is the slowest rank's, every constant comes from medians. Same result on every
/// rank.
/// @pre collective
Calibration calibrate(device::Device& device, exchange::Exchange& exchange, const mpi::Communicator& communicator,
                      const mpi::ClockSync& clock, const CalibrationInput& input);

}  // namespace ep::calibration
