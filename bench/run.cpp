#include <algorithm>
#include <memory>
#include <numeric>
#include <unistd.h>

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "bench/backend.hpp"
#include "bench/calibrate.hpp"
#include "bench/choice.hpp"
#include "bench/commands.hpp"
#include "bench/job.hpp"
#include "bench/launches.hpp"
#include "bench/options.hpp"
#include "bench/provenance.hpp"
#include "bench/rows.hpp"
#include "bench/sampler.hpp"
#include "layer/reference.hpp"
#include "measure/fail_above.hpp"
#include "mpi/agreement.hpp"
#include "mpi/clock_sync.hpp"
#include "mpi/topology.hpp"
#include "report/report.hpp"
#include "schedule/strategy.hpp"

namespace ep::bench {

namespace {

/// Progress goes to a terminal only: a log file wants the result.
void set_up_progress(int rank) {
  spdlog::set_default_logger(spdlog::stderr_color_mt("epbench"));
  spdlog::set_pattern("epbench: %v");
  spdlog::set_level(rank == 0 && isatty(STDERR_FILENO) == 1 ? spdlog::level::info : spdlog::level::warn);
}

/// What this rank's buffers take, and what it needs beside them at most: two copies of its tokens on their way to the
/// device. Throws InputError when sizes overflow.
double memory_needs(const mpi::Communicator& communicator, const Job& job, const device::Device& device,
                    int max_chunks) {
  const plan::Plan plan = plan::make_plan(job.routing, job.placement, job.topology, 1);
  const layer::BufferSizes sizes = layer::buffer_sizes(plan, communicator.rank());
  const std::int64_t buffers =
      layer::required_bytes(sizes, job.config.shape, job.routing.topk, job.routing.experts,
                            device.compute_dtype(job.config.shape.combine_dtype), max_chunks, job.config.gradients());
  const double staging = static_cast<double>(sizes.tokens) * job.config.shape.hidden * 2 * sizeof(float);
  return static_cast<double>(buffers) + staging;
}

/// Throws SharedError when a node's ranks together need more memory than it has.
void require_memory(const mpi::Communicator& communicator, const Job& job, const device::Device& device,
                    int max_chunks) {
  double mine[2] = {0, static_cast<double>(device.available_bytes(device::MemoryUse::device))};
  mpi::all_or_none(communicator, [&] { mine[0] = memory_needs(communicator, job, device, max_chunks); });
  const std::vector<double> all = communicator.gather_all(std::span<const double>(mine));
  std::vector<double> needed(static_cast<std::size_t>(job.topology.nodes));
  mpi::all_or_none(communicator, [&] {
    for (int rank = 0; rank < communicator.size(); ++rank) {
      const auto r = static_cast<std::size_t>(rank);
      double& node = needed[static_cast<std::size_t>(job.topology.node_of_rank[r])];
      node += all[2 * r];
      if (node <= all[2 * r + 1]) continue;
      throw core::InputError(
          "sizes", "memory of the layer's buffers", fmt::format("{:.1f} GB on one node", node / 1e9),
          fmt::format("it has {:.1f} GB free: fewer --tokens, --experts or a smaller --hidden", all[2 * r + 1] / 1e9));
    }
  });
  spdlog::info("buffers: {:.1f} MB on rank 0, {:.1f} MB on all ranks", all[0] / 1e6,
               std::accumulate(needed.begin(), needed.end(), 0.0) / 1e6);
}

std::vector<schedule::Schedule> build_schedules(const Job& job) {
  std::vector<schedule::Schedule> schedules;
  for (const std::string& name : job.config.strategies) schedules.push_back(build_schedule(job, name));
  return schedules;
}

/// Adds what `--strategy auto` chooses, unless it is there already. @pre collective
std::optional<measure::Choice> add_choice(std::vector<schedule::Schedule>& schedules, const Job& job,
                                          const cost::Machine& machine, const mpi::Communicator& communicator) {
  if (!job.config.choose_strategy) return std::nullopt;
  measure::Choice choice = choose_strategy(job, machine, communicator);
  const bool known = std::any_of(schedules.begin(), schedules.end(), [&](const schedule::Schedule& schedule) {
    return schedule.strategy == choice.strategy;
  });
  if (!known) schedules.push_back(build_schedule(job, choice.strategy));
  return choice;
}

int max_chunks(const std::vector<schedule::Schedule>& schedules) {
  int most = 1;
  for (const schedule::Schedule& schedule : schedules) most = std::max(most, schedule.chunks);
  return most;
}

/// Runs each schedule once more and holds its results against the reference on every rank. @pre collective
std::vector<measure::CheckResult> check_results(layer::Layer& layer, const std::vector<schedule::Schedule>& schedules,
                                                const mpi::Communicator& communicator, int sample) {
  std::vector<measure::CheckResult> results;
  layer::Executor executor(layer);
  for (const schedule::Schedule& schedule : schedules) {
    executor.prepare(schedule);
    communicator.barrier();
    executor.run(schedule, layer::Phase::whole);
    layer::Verdict mine = layer::check(layer, sample);
    if (layer.input().gradients) layer::check_gradients(layer, sample, mine);
    measure::CheckResult result{true, communicator.max(mine.max_relative_error), 0};
    const double tokens[] = {static_cast<double>(mine.tokens_checked)};
    for (const double count : communicator.gather_all(std::span<const double>(tokens))) {
      result.tokens_checked += static_cast<std::int64_t>(count);
    }
    for (const std::string& complaint : communicator.gather_all(mine.complaint)) {
      if (complaint.empty()) continue;
      result.passed = false;
      if (communicator.rank() == 0) spdlog::error("{}: {}", schedule.strategy, complaint);
    }
    results.push_back(result);
  }
  return results;
}

measure::Report measure_job(const RunOptions& options, const Job& job, std::vector<schedule::Schedule> schedules,
                            const mpi::Communicator& communicator, device::Device& device, exchange::Exchange& exchange,
                            const std::vector<std::string>& hosts) {
  const mpi::ClockSync clock(communicator);
  const cost::Machine machine = constants(options, job, communicator, device, exchange, clock);
  std::optional<measure::Choice> choice = add_choice(schedules, job, machine, communicator);
  layer::Layer layer(device, exchange,
                     {job.routing, job.placement, job.topology, job.config.shape, options.seed, communicator.rank(),
                      max_chunks(schedules), job.config.gradients()});
  spdlog::info("measuring {} strategies, at most {} s", schedules.size(), options.time_limit_s);
  const std::vector<Samples> samples =
      take_samples(layer, schedules, communicator, clock, {options.warmup, options.iterations, options.time_limit_s});
  const std::vector<measure::CheckResult> checks = check_results(layer, schedules, communicator, options.check);
  measure::Report report;
  report.choice = std::move(choice);
  report.config = values_of(options, job.routing);
  if (!options.cluster.empty()) report.notes.push_back("predicted with the cluster file of " + machine.origin);
  report.clock_source = clock.source();
  report.skew = routing::skew_of(job.routing, job.placement.expert_ranks(), communicator.size());
  report.routing_hash = routing::hash(job.routing);
  for (std::size_t i = 0; i < schedules.size(); ++i) {
    report.clock_uncertainty_us = std::max(report.clock_uncertainty_us, samples[i].clock_uncertainty_us);
    report.rows.push_back(make_row({options, job, machine, device, exchange, hosts}, schedules[i], samples[i]));
    report.rows.back().check = checks[i];
  }
  return report;
}

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

void write_outputs(const RunOptions& options, const measure::Report& report) {
  const std::vector<std::string> paths = output_paths(options);
  const bool taken = std::find(paths.begin(), paths.end(), "-") != paths.end();  // standard output holds a document
  fmt::print(taken ? stderr : stdout, "{}", report::table(report));
  if (!options.json.empty()) report::write_file(options.json, report::json(report));
  if (!options.csv.empty()) report::write_file(options.csv, report::csv(report));
  if (!options.trace.empty()) report::write_file(options.trace, report::trace(report));
}

core::ExitCode run_job(const RunOptions& options, const Invocation& invocation, const mpi::Communicator& communicator) {
  const Job job = make_job(options, communicator);
  const std::optional<LaunchChild> child = launch_child();
  mpi::all_or_none(communicator, [&] {
    if (communicator.rank() != 0 || child) return;
    for (const std::string& path : output_paths(options)) report::require_writable(path);
  });
  const Backend backend = make_backend(options, job.config, communicator);
  const std::vector<schedule::Schedule> schedules = build_schedules(job);
  require_memory(communicator, job, *backend.device,
                 job.config.choose_strategy ? schedule::kMostChunks : max_chunks(schedules));
  const std::vector<std::string> hosts = communicator.gather_all(mpi::host_name());
  measure::Report report =
      measure_job(options, job, schedules, communicator, *backend.device, *backend.exchange, hosts);
  report.emulated = backend.emulated;
  report.provenance = provenance(communicator, job, hosts, invocation.arguments());
  report.provenance.emplace_back("device", backend.device->description());
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

/// Runs `body` under MPI. An error that all ranks share is printed once and ends them in order; one rank's own error is
/// printed with its name and aborts the job, since the others are waiting for it.
template <class Body>
core::ExitCode under_mpi(Invocation& invocation, Body body) {
  mpi::Environment environment(invocation.argc, invocation.argv);
  const mpi::Communicator communicator = mpi::Communicator::world();
  set_up_progress(communicator.rank());
  const auto abort = [&](core::ExitCode code, const char* what) {
    fmt::print(stderr, "epbench: rank {} on {}: {}\n", communicator.rank(), mpi::host_name(), what);
    mpi::abort(code);
  };
  try {
    return body(communicator);
  } catch (const mpi::SharedError& error) {
    if (communicator.rank() == 0) fmt::print(stderr, "epbench: {}\n", error.what());
    return error.code();
  } catch (const core::Error& error) {
    abort(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    abort(core::ExitCode::unsupported, "out of memory");
  } catch (const std::exception& error) {
    abort(core::ExitCode::internal, error.what());
  }
  return core::ExitCode::internal;
}

core::ExitCode run(const RunOptions& options, Invocation& invocation) {
  if (options.launches > 1 && !launch_child()) {
    resolve(options);
    if (first_process()) {
      for (const std::string& path : output_paths(options)) report::require_writable(path);
    }
    const LaunchOutcome outcome = run_launches(options, invocation.argv);
    if (outcome.merged) write_outputs(options, *outcome.merged);
    const bool slow = outcome.merged && too_slow(options, *outcome.merged, true);
    return slow ? core::ExitCode::wrong_data : static_cast<core::ExitCode>(outcome.exit_code);
  }
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

void add_calibrate(CLI::App& app, Invocation& invocation) {
  CLI::App* const command = app.add_subcommand(
      "calibrate", "measure this job's links, kernels and GEMMs, and write a cluster file (start it with mpirun)");
  const auto options = std::make_shared<RunOptions>();
  const auto path = std::make_shared<std::string>();
  command->option_defaults()->always_capture_default()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  options->direction = "step";  // all that there is
  declare_layer(*command, *options);
  declare_back_end(*command, *options);
  command->add_option("-o,--output", *path, "cluster file to write; -: standard output")->required()->group("Output");
  command->callback([options, path, &invocation] {
    invocation.exit_code = under_mpi(invocation, [&](const mpi::Communicator& communicator) {
      calibrate_job(*options, *path, communicator);
      return core::ExitCode::ok;
    });
  });
}

core::ExitCode report_usage_error(Invocation& invocation, const core::Error& error) {
  if (!launched_by_mpi()) {
    fmt::print(stderr, "epbench: {}\n", error.what());
    return error.code();
  }
  // The other ranks' first step is the same agreement (make_job).
  return under_mpi(invocation, [&](const mpi::Communicator& communicator) {
    mpi::all_or_none(communicator, [&] { throw core::Error(error); });
    return error.code();
  });
}

}  // namespace ep::bench
