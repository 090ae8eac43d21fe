#include "bench/job_command.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "core/error.hpp"

namespace ep::bench {

namespace {

constexpr std::array kRankVariables = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};
constexpr std::array kMpiruns = {"mpirun", "mpiexec", "orterun", "prterun"};

/// The strings, each ended by a zero byte, of a file in /proc.
std::vector<std::string> strings_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<std::string> strings;
  for (std::string text; std::getline(file, text, '\0');) strings.push_back(text);
  return strings;
}

/// A running process; none where it may not be looked at.
std::optional<Command> command_of(pid_t process) {
  const std::string proc = fmt::format("/proc/{}/", process);
  std::error_code failed;
  Command command;
  command.program = std::filesystem::read_symlink(proc + "exe", failed);
  if (!failed) command.folder = std::filesystem::read_symlink(proc + "cwd", failed);
  command.arguments = strings_of(proc + "cmdline");
  command.environment = strings_of(proc + "environ");
  if (failed || command.arguments.empty() || sched_getaffinity(process, sizeof command.cores, &command.cores) != 0) {
    return std::nullopt;
  }
  return command;
}

/// Pointers into the strings, as exec wants them.
std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> all;
  for (std::string& text : strings) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

}  // namespace

std::string_view variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string_view{} : value;
}

bool launched_by_mpi() {
  return std::any_of(kRankVariables.begin(), kRankVariables.end(),
                     [](const char* name) { return std::getenv(name) != nullptr; });
}

bool first_process() {
  return std::all_of(kRankVariables.begin(), kRankVariables.end(),
                     [](const char* name) { return variable(name).empty() || variable(name) == "0"; });
}

bool several_programs() {
  const std::string_view programs = variable("OMPI_NUM_APP_CTX");
  return !programs.empty() && programs != "1";
}

std::optional<Command> job_command() {
  const bool alone = !launched_by_mpi();
  std::optional<Command> command = command_of(alone ? getpid() : getppid());
  if (alone || !command) return command;
  const std::string name = std::filesystem::path(command->program).filename();
  if (std::find(kMpiruns.begin(), kMpiruns.end(), name) == kMpiruns.end()) return std::nullopt;
  // The waiting job's mpirun kills the whole group of rank 0 soon after asking it to end; this one has ranks to end
  // first.
  command->own_group = true;
  // Under Slurm it starts its daemons as a step, beside that of the waiting job instead of after it.
  command->environment.emplace_back("SLURM_OVERLAP=1");
  return command;
}

int run_command(Command command, const std::map<std::string, std::string>& variables) {
  for (const auto& [name, value] : variables) command.environment.push_back(fmt::format("{}={}", name, value));
  const std::vector<char*> arguments = pointers(command.arguments);
  const std::vector<char*> environment = pointers(command.environment);
  const pid_t parent = getpid();
  // Nothing else tells a process without MPI that the mpirun it belongs to was killed.
  if (command.own_group) prctl(PR_SET_PDEATHSIG, SIGTERM);
  const pid_t child = fork();
  if (child < 0) throw core::Error(core::ExitCode::internal, "cannot start a launch: fork failed");
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);  // no orphan may go on measuring
    if (getppid() != parent) _exit(1);
    if (command.own_group) setpgid(0, 0);
    sched_setaffinity(0, sizeof command.cores, &command.cores);
    if (chdir(command.folder.c_str()) == 0) execve(command.program.c_str(), arguments.data(), environment.data());
    _exit(static_cast<int>(core::ExitCode::internal));
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace ep::bench
