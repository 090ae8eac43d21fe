#pragma once
#include <optional>
#include <vector>

#include "layer/executor.hpp"
#include "mpi/communicator.hpp"

namespace ep::layer {

/// What this rank saw of one iteration, spans as of Executor::run.
struct Iteration {
  std::vector<schedule::Span> whole;
  std::vector<schedule::Span> compute_alone;
  std::vector<schedule::Span> comm_alone;
  std::optional<double> waited_us;  // of the whole, for which compute had no core; none where not known
};

/// One iteration as all are measured and calibrated: the whole schedule, then each side alone, so that what drifts
/// meets all three, each after a barrier. What goes between decides which threads are asleep, where they run and what
/// the caches hold. @pre collective
Iteration iterate(Executor& executor, const schedule::Schedule& schedule, const mpi::Communicator& communicator);

}  // namespace ep::layer
