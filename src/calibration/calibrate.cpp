#include "calibration/calibrate.hpp"

#include <algorithm>

#include "calibration/layer_runs.hpp"
#include "calibration/links.hpp"
#include "core/clock.hpp"
#include "core/step.hpp"

namespace ep::calibration {

Calibration calibrate(device::Device& device, exchange::Exchange& exchange, const mpi::Communicator& communicator,
                      const mpi::ClockSync& clock, const CalibrationInput& input) {
  core::enter_step("calibration", "aligning clocks");
  const double start = core::now_us();
  const mpi::ClockSample now = clock.measure();
  const mpi::ClockMap map(now, now);
  Calibration result;
  cost::Machine& machine = result.machine;
  machine.origin = "calibrated at start";
  machine.topology = input.topology;
  machine.in_node = machine.between_nodes = {0, 1};
  if (communicator.size() > 1) {
    calibrate_links(device, exchange, communicator, map, input, result);
  }
  LayerRuns runs(device, exchange, communicator, map, input);
  // Two sizes at least, or nothing tells a fixed cost from one that grows; the whole size when it fits.
  const std::int64_t least = input.placement.ranks();  // a token a rank
  runs.run(std::max(least, input.tokens / 16), 0.1 * input.budget_us);
  const double before = core::now_us();
  const LayerRuns::Times quarter = runs.run(std::max(least, input.tokens / 4), 0.2 * input.budget_us);
  const double after = core::now_us();
  // Setting up takes as long again, and an iteration four times as long: one that is cold, one to be measured, and the
  // interference.
  constexpr double kThree = 3;
  const double left_us = input.budget_us - communicator.max((after - start) + (after - before - quarter.all_us));
  if (left_us > kThree * 4 * quarter.once_us) runs.run(input.tokens, left_us);
  runs.finish(result);
  return result;
}

}  // namespace ep::calibration
