#include <algorithm>
#include <exception>
#include <memory>

#include <fmt/format.h>

#include "bench/commands.hpp"
#include "bench/job_command.hpp"
#include "bench/launches.hpp"
#include "bench/measure_job.hpp"
#include "bench/provenance.hpp"
#include "bench/under_mpi.hpp"
#include "core/step.hpp"
#include "measure/fail_above.hpp"
#include "mpi/agreement.hpp"
#include "mpi/topology.hpp"
#include "report/report.hpp"

namespace ep::bench {

namespace {

bool all_trusted(const measure::Report& report) {
  return std::all_of(report.rows.begin(), report.rows.end(),
                     [](const measure::Row& row) { return measure::trusted(row); });
}

/// Says what was slower than --fail-above allows; true when something was.
bool too_slow(const RunOptions& options, const measure::Report& report, bool say) {
  if (options.fail_above <= 0) return false;
  const std::vector<std::string> complaints = measure::slower_than(report, options.fail_above);
  for (const std::string& complaint : complaints) {
    if (say) fmt::print(stderr, "epbench: --fail-above {}: {}\n", options.fail_above, complaint);
  }
  return !complaints.empty();
}

/// Files that a report goes to, by rank 0.
std::vector<std::string> output_paths(const RunOptions& options) {
  std::vector<std::string> paths;
  for (const std::string& path : {options.json, options.csv, options.trace}) {
    if (!path.empty()) paths.push_back(path);
  }
  return paths;
}

void write_files(const RunOptions& options, const measure::Report& report) {
  if (!options.json.empty()) report::write_file(options.json, report::json(report));
  if (!options.csv.empty()) report::write_file(options.csv, report::csv(report));
  if (!options.trace.empty()) report::write_file(options.trace, report::trace(report));
}

void write_outputs(const RunOptions& options, const measure::Report& report) {
  const std::vector<std::string> paths = output_paths(options);
  const bool taken = std::find(paths.begin(), paths.end(), "-") != paths.end();  // standard output holds a document
  fmt::print(taken ? stderr : stdout, "{}", report::table(report));
  write_files(options, report);
}

core::ExitCode run_job(const RunOptions& options, const Invocation& invocation, const mpi::Communicator& communicator) {
  const Job job = make_job(options, communicator);
  const std::optional<LaunchChild> child = launch_child();
  mpi::all_or_none(communicator, [&] {
    if (communicator.rank() != 0 || child) return;
    for (const std::string& path : output_paths(options)) report::require_writable(path);
  });
  const std::vector<std::string> hosts = communicator.gather_all(mpi::host_name());
  Backend backend;  // outlives the watchdog, which looks at its exchange
  Watchdog watchdog(communicator, hosts[static_cast<std::size_t>(communicator.rank())], options.timeout_s);
  backend = make_backend(options, job.config, communicator);
  watchdog.watch(backend.exchange.get());
  require_memory(communicator, job, *backend.device);
  measure::Report report;
  report.emulated = backend.emulated;
  report.provenance = provenance(communicator, job, hosts, invocation.arguments());
  report.provenance.emplace_back("device", backend.device->description());
  report.config = values_of(options, job.routing);
  report.skew = routing::skew_of(job.routing, job.placement.expert_ranks(), communicator.size());
  report.routing_hash = routing::hash(job.routing);
  try {
    measure_job(
        {options, job, communicator, backend, hosts}, watchdog,
        [&](const measure::Report& kept) {
          // From the second launch on the files hold those that are done.
          if (!child || child->index == 0) write_files(options, kept);
        },
        report);
  } catch (const mpi::SharedError&) {
    throw;
  } catch (...) {
    // Here, since the back end's end would wait for exchanges that the others will never finish.
    abort_job(communicator, std::current_exception());
  }
  core::enter_step("end", "writing the report");
  if (communicator.rank() == 0) {
    if (child) {
      report::write_file(child->report_path, report::json(report));
    } else {
      write_outputs(options, report);
    }
  }
  // Of several launches the medians are held to the bound, not each by itself.
  const bool slow = !child && too_slow(options, report, communicator.rank() == 0);
  return all_trusted(report) && !slow ? core::ExitCode::ok : core::ExitCode::wrong_data;
}

/// The job several times, by rank 0's process of the job that waits for it.
core::ExitCode run_several(const RunOptions& options, Invocation& invocation) {
  if (several_programs()) {
    return report_usage_error(invocation,
                              cannot_start_again("mpirun was given several programs, which may differ in it"));
  }
  // The others have nothing to do, and nobody to meet. Without mpirun there will be no launch, as rank 0 says.
  if (!first_process()) return launched_by_mpirun() ? core::ExitCode::ok : core::ExitCode::unsupported;
  resolve(options);
  if (options.cluster == "-" || options.placement == "-") {
    throw core::InputError("--launches", "input", "-", "standard input can be read once only: wanted a file");
  }
  for (const std::string& path : output_paths(options)) report::require_writable(path);
  RunOptions files = options;  // standard output waits for the last launch
  for (std::string* path : {&files.json, &files.csv, &files.trace}) {
    if (*path == "-") path->clear();
  }
  const LaunchOutcome outcome = run_launches(options, [&](const measure::Report& kept) {
    try {
      write_files(files, kept);
    } catch (const core::Error& error) {  // no reason to stop: they are written again behind the table
      fmt::print(stderr, "note: not saved yet: {}\n", error.what());
    }
  });
  if (!outcome.merged) return static_cast<core::ExitCode>(outcome.exit_code);
  write_outputs(options, *outcome.merged);
  const bool slow = too_slow(options, *outcome.merged, true);
  return slow && outcome.exit_code == 0 ? core::ExitCode::wrong_data : static_cast<core::ExitCode>(outcome.exit_code);
}

core::ExitCode run(const RunOptions& options, Invocation& invocation) {
  if (options.launches > 1 && !launch_child()) return run_several(options, invocation);
  return under_mpi(invocation,
                   [&](const mpi::Communicator& communicator) { return run_job(options, invocation, communicator); });
}

}  // namespace

void add_run(CLI::App& app, Invocation& invocation) {
  CLI::App* const command = app.add_subcommand("run", "measure the layer on this job's ranks (start it with mpirun)");
  const auto options = std::make_shared<RunOptions>();
  declare(*command, *options);
  command->callback([options, &invocation] { invocation.exit_code = run(*options, invocation); });
}

}  // namespace ep::bench
