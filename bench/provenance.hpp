#pragma once
#include <string>
#include <vector>

#include "bench/job.hpp"
#include "measure/result.hpp"
#include "mpi/communicator.hpp"

namespace ep::bench {

/// What another person needs to repeat a run: versions, revision, processor, binding, MPI, congestion control, ranks
/// and hosts, routing, arguments. Never the whole environment. Same on every rank. @pre collective
measure::Values provenance(const mpi::Communicator& communicator, const Job& job, const std::vector<std::string>& hosts,
                           const std::vector<std::string>& arguments);

}  // namespace ep::bench
