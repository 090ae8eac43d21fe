#pragma once
#include <optional>
#include <string>

#include "bench/options.hpp"
#include "measure/result.hpp"

namespace ep::bench {

/// Whether a launcher of MPI jobs started this process; true for rank 0's process, and where there is no launcher.
/// Both from the environment, for what must be known before MPI_Init.
bool launched_by_mpi();
bool first_process();

/// Which start of the job this process is, when a parent of its own runs it several times.
struct LaunchChild {
  int index = 0;            // from 0
  std::string report_path;  // where rank 0 leaves its report for the parent
};
std::optional<LaunchChild> launch_child();

/// What `--strategy auto` chose in the first launch, for rank 0 of a later one; null elsewhere.
std::optional<measure::Choice> first_launch_choice();

/// Runs this program `options.launches` times, one after another, each a whole MPI job of its own: launches differ by
/// more than the iterations of one (memory layout, placement of threads). To be called before MPI_Init, by every rank's
/// process. Returns the merged report on rank 0 and nothing elsewhere; a launch that fails ends it with that exit code.
/// Throws Error (unsupported) when the job spans several hosts.
struct LaunchOutcome {
  int exit_code = 0;
  std::optional<measure::Report> merged;
};
LaunchOutcome run_launches(const RunOptions& options, char** argv);

}  // namespace ep::bench
