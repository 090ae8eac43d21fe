#pragma once
#include <functional>
#include <map>
#include <optional>
#include <sched.h>
#include <string>
#include <string_view>
#include <vector>

#include "bench/signals.hpp"
#include "core/error.hpp"

namespace ep::bench {

/// Whether a launcher of MPI jobs started this process; true for rank 0's process, and where there is no launcher.
/// Both from the environment, for what must be known before MPI_Init.
bool launched_by_mpi();
bool first_process();

/// Whether Open MPI's mpirun started this process, and whether it was given several programs ("a : b").
bool launched_by_mpirun();
bool several_programs();

/// An environment variable; empty where there is none.
std::string_view variable(const char* name);

/// A program as it was started, whole enough to start it again.
struct Command {
  std::string program;                 // path of the executable
  std::vector<std::string> arguments;  // its name first
  std::vector<std::string> environment;
  std::string folder;              // where it runs
  std::optional<cpu_set_t> cores;  // that it may use; none where that is not known
  bool own_group = false;          // as a process group of its own
};

/// The error (unsupported) of a job that epbench cannot start again, with the remedy.
core::Error cannot_start_again(const std::string& why);

/// The command that started this process's whole job, to be asked by rank 0's process: Open MPI's mpirun, which must be
/// the process's parent, as it is where mpirun runs on rank 0's host; this program itself where there is no launcher.
/// Throws Error (unsupported) where the launcher is another (srun), or out of sight on another host, outside a
/// container or behind a program between, or has options that it can't be given twice.
Command job_command();

/// Runs the command with `variables` added to its environment and nothing to read, and returns its exit code (128 +
/// signal when it was killed). SIGCONT is passed on. At a signal that asks this process to end, `ending` is called, and
/// the process ends by it, which asks the command to end; without a launcher once it has. Throws Error (internal) if
/// the command cannot be started.
int run_command(Command command, const std::map<std::string, std::string>& variables, const Signals& signals,
                const std::function<void()>& ending);

}  // namespace ep::bench
