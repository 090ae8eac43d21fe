#pragma once
#include <vector>

#include "mpi/clock_sync.hpp"
#include "mpi/communicator.hpp"
#include "schedule/timeline.hpp"

namespace ep::layer {

/// One iteration of all ranks on rank 0's clock, from each rank's own spans; the same operations on every rank.
/// @pre collective
schedule::Timeline gather(const mpi::Communicator& communicator, const mpi::ClockMap& clock,
                          const std::vector<schedule::Span>& mine);

}  // namespace ep::layer
