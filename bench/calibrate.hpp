#pragma once
#include <string>
#include <vector>

#include "bench/job.hpp"
#include "bench/options.hpp"
#include "cost/machine.hpp"
#include "device/device.hpp"
#include "exchange/exchange.hpp"
#include "mpi/clock_sync.hpp"
#include "mpi/communicator.hpp"

namespace ep::bench {

struct Constants {
  cost::Machine machine;                    // that the job is predicted with
  std::vector<cost::LinkScale> link_scale;  // [nodes] who is to blame: links beside their peers' as they are now
};

/// Of --cluster, which rank 0 reads, or calibrated now. With a file the links between nodes are compared all the same,
/// and what the file has them differ by is not held against them. Throws SharedError for a file that does not fit the
/// job. @pre collective
Constants constants(const RunOptions& options, const Job& job, const mpi::Communicator& communicator,
                    device::Device& device, exchange::Exchange& exchange, const mpi::ClockSync& clock);

/// Calibrates this job and writes the cluster file `path` on rank 0. @pre collective
void calibrate_job(const RunOptions& options, const std::string& path, const mpi::Communicator& communicator);

}  // namespace ep::bench
