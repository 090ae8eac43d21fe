#include "calibration/calibrate.hpp"

#include <algorithm>

#include "calibration/layer_runs.hpp"
#include "calibration/links.hpp"
#include "core/clock.hpp"
#include "core/step.hpp"

namespace ep::calibration {

cost::Machine calibrate(device::Device& device, exchange::Exchange& exchange, const mpi::Communicator& communicator,
                        const mpi::ClockSync& clock, const CalibrationInput& input) {
  core::enter_step("calibration", "aligning clocks");
  const double start = core::now_us();
  const mpi::ClockSample now = clock.measure();
  const mpi::ClockMap map(now, now);
  cost::Machine machine;
  machine.origin = "calibrated at start";
  machine.topology = input.topology;
  machine.in_node = machine.between_nodes = {0, 1};
  if (communicator.size() > 1) {
    calibrate_links(device, exchange, communicator, map, input, machine);
  }
  LayerRuns runs(device, exchange, communicator, map, input);
  // Two sizes at least, or nothing tells a fixed cost from one that grows; the whole size when it fits.
  const std::int64_t least = input.placement.ranks();  // a token a rank
  runs.run(std::max(least, input.tokens / 16), 0.1 * input.budget_us);
  const double before = core::now_us();
  const double iterations_us = runs.run(std::max(least, input.tokens / 4), 0.2 * input.budget_us);
  const double elapsed = core::now_us() - start;
  const double set_up_us = core::now_us() - before - iterations_us;
  if (communicator.max(elapsed + set_up_us + 4 * iterations_us) < input.budget_us) {
    runs.run(input.tokens, 0.5 * input.budget_us);
  }
  runs.finish(machine);
  return machine;
}

}  // namespace ep::calibration
