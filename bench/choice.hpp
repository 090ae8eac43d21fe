#pragma once
#include "bench/job.hpp"
#include "cost/machine.hpp"
#include "measure/result.hpp"
#include "mpi/communicator.hpp"
#include "schedule/schedule.hpp"

namespace ep::bench {

/// The schedule of one strategy for the job's routed tokens.
schedule::Schedule build_schedule(const Job& job, const std::string& strategy);

/// What `--strategy auto` takes: of every strategy and chunk count, the one with the shortest predicted time for the
/// job's own tokens. Rank 0 chooses for all, and has the candidates; later launches of a job take the first one's
/// choice, so that they have a median. @pre collective
measure::Choice choose_strategy(const Job& job, const cost::Machine& machine, const mpi::Communicator& communicator);

}  // namespace ep::bench
