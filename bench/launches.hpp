#pragma once
#include <functional>
#include <optional>
#include <string>

#include "bench/options.hpp"
#include "measure/result.hpp"

namespace ep::bench {

/// Which start of the job this process is, when --launches started it.
struct LaunchChild {
  int index = 0;            // from 0
  std::string report_path;  // where rank 0 leaves its report for the parent
};
std::optional<LaunchChild> launch_child();

/// What `--strategy auto` chose in the first launch, for rank 0 of a later one; null elsewhere.
std::optional<measure::Choice> first_launch_choice();

/// Starts the whole job `options.launches` times, one after another, by the command that started this one
/// (job_command): launches differ by more than the iterations of one (memory layout, placement of threads). To be
/// called by rank 0's process, before MPI_Init; the others have nothing to do. `keep` gets the merged report after each
/// launch, so that nothing is lost by what comes after. A launch that fails is the last; its exit code is then
/// returned, with what was merged before. Throws Error (unsupported) where the job's command cannot be started again.
struct LaunchOutcome {
  int exit_code = 0;
  std::optional<measure::Report> merged;
};
LaunchOutcome run_launches(const RunOptions& options, const std::function<void(const measure::Report&)>& keep);

}  // namespace ep::bench
