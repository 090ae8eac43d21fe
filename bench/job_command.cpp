#include "bench/job_command.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

namespace ep::bench {

namespace {

// What tells a process its rank, the most trusted first: a shell that srun started may start mpirun.
constexpr std::array kRankVariables = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};
constexpr std::array kMpiruns = {"mpirun", "mpiexec", "orterun", "prterun", "prte"};
// mpirun goes into its ranks' folder itself, so that where it was started is not known; and it truncates its ranks'
// files.
constexpr std::array kOnceOnly = {"wdir", "wd", "set-cwd-to-session-dir", "output-filename"};

/// What a forked child does: the command, or else the reason into `failure`.
[[noreturn]] void become(const Command& command, const std::vector<char*>& arguments,
                         const std::vector<char*>& environment, int failure) {
  if (command.own_group) setpgid(0, 0);
  if (command.cores) sched_setaffinity(0, sizeof *command.cores, &*command.cores);
  const int nothing = open("/dev/null", O_RDONLY);  // else the first of several would read it all
  if (nothing >= 0) dup2(nothing, STDIN_FILENO);
  if (chdir(command.folder.c_str()) == 0) execve(command.program.c_str(), arguments.data(), environment.data());
  const int error = errno;
  [[maybe_unused]] const ssize_t told = write(failure, &error, sizeof error);
  _exit(static_cast<int>(core::ExitCode::internal));
}

/// Waits for the child and returns its exit code; ends this process by a signal that asks for it.
int wait_for(pid_t child, bool mpirun, const Signals& signals, const std::function<void()>& ending) {
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    const int signal = signals.next();
    if (signal == SIGCONT) kill(child, signal);  // from mpirun, a second before it ends ranks: the time to save
    if (signal == SIGCONT || signal == SIGCHLD) continue;
    ending();
    // An mpirun is told by this process's death, once: at a second signal it would leave its ranks as they are.
    if (!mpirun) {
      kill(child, signal);
      waitpid(child, &status, 0);
    }
    signals.restore();
    std::raise(signal);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// The strings, each ended by a zero byte, of a file in /proc.
std::vector<std::string> strings_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<std::string> strings;
  for (std::string text; std::getline(file, text, '\0');) strings.push_back(text);
  return strings;
}

/// A running process; without a program where it may not be looked at.
Command command_of(pid_t process) {
  const std::string proc = fmt::format("/proc/{}/", process);
  std::error_code failed;
  Command command;
  command.program = std::filesystem::read_symlink(proc + "exe", failed);
  command.folder = std::filesystem::read_symlink(proc + "cwd", failed);
  command.arguments = strings_of(proc + "cmdline");
  command.environment = strings_of(proc + "environ");
  cpu_set_t cores;
  if (sched_getaffinity(process, sizeof cores, &cores) == 0) command.cores = cores;
  return command;
}

void require_repeatable(const Command& mpirun, pid_t process) {
  const std::string name = std::filesystem::path(mpirun.program).filename();
  if (!launched_by_mpirun() || std::find(kMpiruns.begin(), kMpiruns.end(), name) == kMpiruns.end()) {
    throw cannot_start_again(
        fmt::format("wanted Open MPI's mpirun on rank 0's host and no program between it and epbench, which {} "
                    "started",
                    name.empty() ? "another" : "'" + name + "'"));
  }
  std::error_code failed;
  if (!std::filesystem::equivalent(mpirun.program, fmt::format("/proc/{}/exe", process), failed)) {
    throw cannot_start_again(
        fmt::format("this job's mpirun is not the {} to be found from here (a container?)", mpirun.program));
  }
  for (const std::string& argument : mpirun.arguments) {
    const std::size_t dashes = argument.find_first_not_of('-');
    if (dashes != 1 && dashes != 2) continue;
    if (std::find(kOnceOnly.begin(), kOnceOnly.end(), argument.substr(dashes)) != kOnceOnly.end()) {
      throw cannot_start_again(fmt::format("mpirun cannot be given {} twice", argument));
    }
  }
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
  for (const char* name : kRankVariables) {
    if (!variable(name).empty()) return variable(name) == "0";
  }
  return true;
}

bool launched_by_mpirun() {
  return !variable(kRankVariables.front()).empty();
}

bool several_programs() {
  const std::string_view programs = variable("OMPI_NUM_APP_CTX");
  return !programs.empty() && programs != "1";
}

core::Error cannot_start_again(const std::string& why) {
  return {
      core::ExitCode::unsupported,
      fmt::format("--launches: cannot start the job again: {}; 'scripts/launches N -- mpirun ...' starts N jobs and "
                  "merges their reports",
                  why)};
}

Command job_command() {
  if (!launched_by_mpi()) return command_of(getpid());
  Command mpirun = command_of(getppid());
  require_repeatable(mpirun, getppid());
  // The waiting job's mpirun kills the whole group of rank 0 soon after asking it to end; this one has ranks to end
  // first.
  mpirun.own_group = true;
  // Under Slurm it starts its daemons as a step, which without this would wait for the one of the waiting job to end.
  mpirun.environment.emplace_back("SLURM_OVERLAP=1");
  return mpirun;
}

int run_command(Command command, const std::map<std::string, std::string>& variables, const Signals& signals,
                const std::function<void()>& ending) {
  for (const auto& [name, value] : variables) command.environment.push_back(fmt::format("{}={}", name, value));
  // Made here: a child of fork may not allocate.
  const std::vector<char*> arguments = pointers(command.arguments);
  const std::vector<char*> environment = pointers(command.environment);
  std::array<int, 2> failure{};  // carries errno, or its end says that the command has begun
  if (pipe2(failure.data(), O_CLOEXEC) != 0) throw core::Error(core::ExitCode::internal, "cannot make a pipe");
  const pid_t parent = getpid();
  // Nothing else tells a process without MPI that the mpirun it belongs to was killed.
  if (command.own_group) prctl(PR_SET_PDEATHSIG, SIGTERM);
  const pid_t child = fork();
  if (child < 0) throw core::Error(core::ExitCode::internal, "cannot start a launch: fork failed");
  if (child == 0) {
    signals.restore();
    prctl(PR_SET_PDEATHSIG, SIGTERM);  // no orphan may go on measuring
    if (getppid() != parent) _exit(1);
    become(command, arguments, environment, failure[1]);
  }
  close(failure[1]);
  const int code = wait_for(child, command.own_group, signals, ending);
  int error = 0;
  const bool begun = read(failure[0], &error, sizeof error) == 0;
  close(failure[0]);
  if (!begun) {
    throw core::Error(core::ExitCode::internal, fmt::format("--launches: cannot start {} in {}: {}", command.program,
                                                            command.folder, std::strerror(error)));
  }
  return code;
}

}  // namespace ep::bench
