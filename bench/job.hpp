#pragma once
#include <string>

#include "bench/options.hpp"
#include "mpi/communicator.hpp"
#include "placement/placement.hpp"
#include "routing/routing.hpp"

namespace ep::bench {

/// What all ranks agree on before anything is measured.
struct Job {
  RunConfig config;
  placement::Topology topology;
  placement::Placement placement;
  routing::Routing routing;
};

/// Compares the ranks' options, finds the nodes, reads or makes placement and routing on rank 0 and hands them to all.
/// Bad input on any rank is thrown on every rank. @pre collective
Job make_job(const RunOptions& options, const mpi::Communicator& communicator);

}  // namespace ep::bench
