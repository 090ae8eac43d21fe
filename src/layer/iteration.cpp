#include "layer/iteration.hpp"

namespace ep::layer {

Iteration iterate(Executor& executor, const schedule::Schedule& schedule, const mpi::Communicator& communicator) {
  const auto run = [&](Phase phase) {
    communicator.barrier();
    return executor.run(schedule, phase);
  };
  Iteration iteration;
  executor.prepare(schedule);
  const auto before = executor.device().waited_for_core_us();  // ahead of the barrier, or ranks would begin apart
  iteration.whole = run(Phase::whole);
  const auto after = executor.device().waited_for_core_us();
  if (before && after) iteration.waited_us = *after - *before;
  iteration.compute_alone = run(Phase::compute_alone);
  iteration.comm_alone = run(Phase::comm_alone);
  return iteration;
}

}  // namespace ep::layer
