#include "bench/launches.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "bench/job_command.hpp"
#include "core/error.hpp"
#include "core/parse.hpp"
#include "measure/launches.hpp"
#include "report/report.hpp"

namespace ep::bench {

namespace {

// Open MPI's mpirun gives every rank on every host what begins with OMPI_.
constexpr const char* kIndexVariable = "OMPI_EPBENCH_LAUNCH_INDEX";
constexpr const char* kReportVariable = "OMPI_EPBENCH_LAUNCH_REPORT";
constexpr const char* kFirstVariable = "OMPI_EPBENCH_LAUNCH_FIRST_REPORT";

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
  ~TemporaryFolder() { remove(); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  void remove() const {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::string file(int index) const { return (path_ / fmt::format("{}.json", index)).string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace

std::optional<LaunchChild> launch_child() {
  const std::string_view index = variable(kIndexVariable);
  if (index.empty()) return std::nullopt;
  return LaunchChild{static_cast<int>(core::parse_size(index, kIndexVariable)), std::string(variable(kReportVariable))};
}

std::optional<measure::Choice> first_launch_choice() {
  const std::string first(variable(kFirstVariable));
  return first.empty() ? std::nullopt : report::read_file(first).choice;
}

LaunchOutcome run_launches(const RunOptions& options, const std::function<void(const measure::Report&)>& keep) {
  const Command command = job_command();
  const std::string mark = fmt::format("{}=", kIndexVariable);
  if (std::any_of(command.environment.begin(), command.environment.end(),
                  [&](const std::string& entry) { return entry.starts_with(mark); })) {
    throw cannot_start_again(
        fmt::format("{} does not come through to epbench, so each launch would start more", kIndexVariable));
  }
  const Signals signals;  // outlives the folder: no signal may leave that behind
  const TemporaryFolder folder;
  LaunchOutcome outcome;
  std::vector<measure::Report> reports;
  const auto say = [&](int index, const std::string& how) {
    fmt::print(stderr, "epbench: launch {} of {} {}{}\n", index + 1, options.launches, how,
               index > 0 ? ": medians are over those before it" : "");
  };
  for (int index = 0; index < options.launches; ++index) {
    std::map<std::string, std::string> variables = {{kIndexVariable, std::to_string(index)},
                                                    {kReportVariable, folder.file(index)}};
    if (index > 0) variables.emplace(kFirstVariable, folder.file(0));
    try {
      const int code = run_command(command, variables, signals, [&] { folder.remove(); });
      // Wrong data is a result: the report shows it.
      if (code != 0 && code != static_cast<int>(core::ExitCode::wrong_data)) {
        // Of what ended the first, its ranks or mpirun have told.
        if (index > 0 || (code > 128 && !launched_by_mpi())) say(index, fmt::format("ended with exit code {}", code));
        outcome.exit_code = code;
        break;
      }
      reports.push_back(report::read_file(folder.file(index)));
      outcome.merged = measure::merge_launches(reports);
      outcome.exit_code = std::max(outcome.exit_code, code);
      keep(*outcome.merged);
    } catch (const core::Error& error) {
      say(index, fmt::format("failed ({})", error.what()));
      outcome.exit_code = static_cast<int>(core::ExitCode::internal);
      break;
    }
  }
  return outcome;
}

}  // namespace ep::bench
