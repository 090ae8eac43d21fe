#include "bench/launches.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <fmt/format.h>

#include "core/error.hpp"
#include "core/parse.hpp"
#include "measure/launches.hpp"
#include "report/report.hpp"

namespace ep::bench {

namespace {

constexpr const char* kIndexVariable = "EPBENCH_LAUNCH_INDEX";
constexpr const char* kReportVariable = "EPBENCH_LAUNCH_REPORT";
constexpr const char* kFirstVariable = "EPBENCH_LAUNCH_FIRST_REPORT";
constexpr std::array kRankVariables = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};

std::string_view variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string_view{} : value;
}

/// A folder that is removed with everything in it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "epbench-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) {
      throw core::Error(core::ExitCode::internal, fmt::format("cannot make a temporary folder {}", name));
    }
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] std::string file(int index) const { return (path_ / fmt::format("{}.json", index)).string(); }

 private:
  std::filesystem::path path_;
};

/// Where the ranks' processes of one job on one host meet between launches, before any has MPI: a folder in which each
/// leaves a file. A rank that began the next launch while another was still leaving the last one was seen to hang in
/// MPI_Init.
class Meeting {
 public:
  Meeting()
      : ranks_(variable("OMPI_COMM_WORLD_SIZE").empty()
                   ? 1
                   : core::parse_size(variable("OMPI_COMM_WORLD_SIZE"), "OMPI_COMM_WORLD_SIZE")),
        path_(std::filesystem::temp_directory_path() /
              fmt::format("epbench-meeting-{}-{}-{}", getuid(), getppid(), variable("PMIX_NAMESPACE"))) {
    std::error_code exists;
    if (ranks_ > 1) std::filesystem::create_directory(path_, exists);
  }
  ~Meeting() {
    std::error_code ignored;
    if (first_process()) std::filesystem::remove_all(path_, ignored);
  }
  Meeting(const Meeting&) = delete;
  Meeting& operator=(const Meeting&) = delete;

  /// Returns when every rank has called it as often. A rank that ends without doing so ends the job: mpirun sees to it.
  void wait() {
    if (ranks_ == 1) return;
    const std::string prefix = fmt::format("{}-", met_++);
    report::write_file((path_ / fmt::format("{}{}", prefix, variable("OMPI_COMM_WORLD_RANK"))).string(), "");
    while (present(prefix) < ranks_) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }

 private:
  /// All, once the first rank, which leaves after everybody has come to the last meeting, has removed the folder.
  [[nodiscard]] std::int64_t present(const std::string& prefix) const {
    std::int64_t count = 0;
    std::error_code gone;
    for (std::filesystem::directory_iterator entry(path_, gone), end; !gone && entry != end; entry.increment(gone)) {
      const std::string name = entry->path().filename().string();
      const bool whole = name.find_first_not_of("0123456789", prefix.size()) == std::string::npos;  // no temporary file
      count += name.starts_with(prefix) && whole ? 1 : 0;
    }
    return gone ? ranks_ : count;
  }

  std::int64_t ranks_;
  std::filesystem::path path_;
  int met_ = 0;
};

/// Starts the program anew as launch `index` and returns its exit code (128 + signal when it was killed).
int run_child(int index, const TemporaryFolder& folder, char** argv) {
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) throw core::Error(core::ExitCode::internal, "cannot start a launch: fork failed");
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // mpirun ends the parent: no orphan may go on measuring
    if (getppid() != parent) _exit(1);
    setenv(kIndexVariable, std::to_string(index).c_str(), 1);
    setenv(kReportVariable, folder.file(index).c_str(), 1);
    if (index > 0) setenv(kFirstVariable, folder.file(0).c_str(), 1);
    // PMIx's shared-memory store does not outlive the first MPI_Finalize of a launched process; its hash store does.
    setenv("PMIX_MCA_gds", "hash", 1);
    execv("/proc/self/exe", argv);
    _exit(static_cast<int>(core::ExitCode::internal));
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

bool launched_by_mpi() {
  return std::any_of(kRankVariables.begin(), kRankVariables.end(),
                     [](const char* name) { return std::getenv(name) != nullptr; });
}

bool first_process() {
  return std::all_of(kRankVariables.begin(), kRankVariables.end(),
                     [](const char* name) { return variable(name).empty() || variable(name) == "0"; });
}

std::optional<LaunchChild> launch_child() {
  const std::string_view index = variable(kIndexVariable);
  if (index.empty()) return std::nullopt;
  return LaunchChild{static_cast<int>(core::parse_size(index, kIndexVariable)), std::string(variable(kReportVariable))};
}

std::optional<measure::Choice> first_launch_choice() {
  const std::string first(variable(kFirstVariable));
  return first.empty() ? std::nullopt : report::read_file(first).choice;
}

LaunchOutcome run_launches(const RunOptions& options, char** argv) {
  const bool one_host = !variable("OMPI_COMM_WORLD_SIZE").empty() &&
                        variable("OMPI_COMM_WORLD_LOCAL_SIZE") == variable("OMPI_COMM_WORLD_SIZE");
  if (launched_by_mpi() && !one_host) {
    const auto unsupported = core::ExitCode::unsupported;
    if (!first_process()) return {static_cast<int>(unsupported), std::nullopt};
    throw core::Error(
        unsupported,
        "--launches: only mpirun of Open MPI with all ranks on one host can start a job twice; where that "
        "is not so, 'scripts/launches N -- mpirun ...' starts N jobs and merges their reports");
  }
  const TemporaryFolder folder;
  Meeting meeting;
  LaunchOutcome outcome;
  for (int index = 0; index < options.launches; ++index) {
    if (index > 0) meeting.wait();
    const int code = run_child(index, folder, argv);
    outcome.exit_code = std::max(outcome.exit_code, code);
    // Wrong data is a result: the report shows it.
    if (code != 0 && code != static_cast<int>(core::ExitCode::wrong_data)) return outcome;
  }
  meeting.wait();                                                // its folder goes with rank 0
  if (!std::filesystem::exists(folder.file(0))) return outcome;  // not rank 0
  std::vector<measure::Report> reports;
  for (int index = 0; index < options.launches; ++index) reports.push_back(report::read_file(folder.file(index)));
  outcome.merged = measure::merge_launches(reports);
  return outcome;
}

}  // namespace ep::bench
