#pragma once
#include <functional>
#include <string>
#include <vector>

#include "bench/backend.hpp"
#include "bench/job.hpp"
#include "bench/options.hpp"
#include "bench/watchdog.hpp"
#include "measure/result.hpp"
#include "mpi/communicator.hpp"

namespace ep::bench {

/// What is to be measured, and with what.
struct MeasureInput {
  const RunOptions& options;
  const Job& job;
  const mpi::Communicator& communicator;
  const Backend& backend;
  const std::vector<std::string>& hosts;  // [ranks]
};

/// What is done with a report whose job ends before its time.
using KeepReport = std::function<void(const measure::Report&)>;

/// Throws SharedError when a node's ranks together need more memory than it has. @pre collective
void require_memory(const mpi::Communicator& communicator, const Job& job, const device::Device& device);

/// Calibrates, measures and checks every strategy, and fills `report`, of which everything but the measurements is
/// there. What has been measured when the job ends early goes to `keep`, from the watchdog's thread. @pre collective
void measure_job(const MeasureInput& input, Watchdog& watchdog, const KeepReport& keep, measure::Report& report);

}  // namespace ep::bench
