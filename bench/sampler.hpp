#pragma once
#include <mutex>
#include <vector>

#include "layer/executor.hpp"
#include "measure/overlap.hpp"
#include "mpi/clock_sync.hpp"
#include "mpi/communicator.hpp"

namespace ep::bench {

/// When to stop taking samples.
struct StopRule {
  int warmup = 0;
  int iterations = 0;       // at least
  double time_limit_s = 0;  // at most, for all schedules together, warm-up included
};

/// What was measured of one schedule, by all ranks; the same on every rank.
struct Samples {
  std::vector<schedule::Timeline> iterations;                // of all ranks, on rank 0's clock
  std::vector<std::vector<measure::OverlapSample>> overlap;  // [ranks][iterations]
  std::vector<std::vector<double>> waited_us;                // [ranks][iterations] of the compute stream's work for a
                                                             // core; negative where a rank does not know
  double clock_uncertainty_us = 0;
  bool converged = false;
};

/// Samples of each schedule. Another thread may read them, under the lock, while they are taken.
struct SampleSet {
  std::mutex mutex;
  std::vector<Samples> of_schedule;
};

/// Runs the schedules in turn, each as a whole, compute alone and communication alone, so that drift hits all of them;
/// an iteration starts with a barrier. Goes on until every schedule's median is known (measure::converged) or the time
/// is up: rank 0 decides after each batch. Chunk counts may differ between schedules. @pre collective
void take_samples(layer::Executor& executor, const std::vector<schedule::Schedule>& schedules,
                  const mpi::Communicator& communicator, const mpi::ClockSync& clock, const StopRule& rule,
                  SampleSet& samples);

}  // namespace ep::bench
