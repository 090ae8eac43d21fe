#pragma once
#include <map>
#include <optional>
#include <sched.h>
#include <string>
#include <string_view>
#include <vector>

namespace ep::bench {

/// Whether a launcher of MPI jobs started this process; true for rank 0's process, and where there is no launcher.
/// Both from the environment, for what must be known before MPI_Init.
bool launched_by_mpi();
bool first_process();

/// Whether this process's mpirun was given several programs ("a : b").
bool several_programs();

/// An environment variable; empty where there is none.
std::string_view variable(const char* name);

/// A program as it was started, whole enough to start it again.
struct Command {
  std::string program;                 // path of the executable
  std::vector<std::string> arguments;  // its name first
  std::vector<std::string> environment;
  std::string folder;      // where it runs
  cpu_set_t cores{};       // that it may use
  bool own_group = false;  // as a process group of its own
};

/// The command that started this process's whole job, to be asked by rank 0's process: Open MPI's mpirun, if that is
/// the process's parent, which it is where mpirun runs on rank 0's host; this program itself where there is no
/// launcher. None where the launcher is another (srun), or out of sight on another host or behind a program between.
std::optional<Command> job_command();

/// Runs the command with `variables` added to its environment, and returns its exit code (128 + signal when it was
/// killed). It is told to end (SIGTERM) if this process dies before. Throws Error (internal) if it cannot be started.
int run_command(Command command, const std::map<std::string, std::string>& variables);

}  // namespace ep::bench
