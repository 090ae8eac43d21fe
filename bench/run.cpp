#include <algorithm>
#include <exception>
#include <memory>
#include <mutex>
#include <numeric>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "bench/backend.hpp"
#include "bench/commands.hpp"
#include "bench/job.hpp"
#include "bench/launches.hpp"
#include "bench/options.hpp"
#include "bench/provenance.hpp"
#include "bench/rows.hpp"
#include "bench/sampler.hpp"
#include "bench/under_mpi.hpp"
#include "bench/watchdog.hpp"
#include "calibration/calibrate.hpp"
#include "core/step.hpp"
#include "layer/reference.hpp"
#include "mpi/agreement.hpp"
#include "mpi/clock_sync.hpp"
#include "mpi/topology.hpp"
#include "report/report.hpp"
#include "schedule/strategy.hpp"

namespace ep::bench {

namespace {

/// What this rank's buffers take, and what it needs beside them at most: two copies of its tokens on their way to the
/// device. Throws InputError when sizes overflow.
double memory_needs(const mpi::Communicator& communicator, const Job& job, const device::Device& device,
                    int max_chunks) {
  const plan::Plan plan = plan::make_plan(job.routing, job.placement, job.topology, 1);
  const layer::BufferSizes sizes = layer::buffer_sizes(plan, communicator.rank());
  const std::int64_t buffers = layer::required_bytes(sizes, job.config.shape, job.routing.topk, job.routing.experts,
                                                     device.compute_dtype(job.config.shape.combine_dtype), max_chunks);
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
  for (const std::string& name : job.config.strategies) {
    const schedule::Strategy strategy = schedule::parse_strategy(name);
    plan::Plan plan = plan::make_plan(job.routing, job.placement, job.topology, strategy.chunks);
    plan.counts_known = job.config.counts_known;
    schedules.push_back(schedule::build(strategy, plan, job.config.shape));
  }
  return schedules;
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
    layer.set_chunks(schedule.chunks);
    communicator.barrier();
    executor.run(schedule, layer::Phase::whole);
    const layer::Verdict mine = layer::check(layer, sample);
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

/// A row for each schedule that has samples.
std::vector<measure::Row> make_rows(const RowContext& context, const std::vector<schedule::Schedule>& schedules,
                                    const std::vector<Samples>& samples,
                                    const std::vector<measure::CheckResult>& checks) {
  std::vector<measure::Row> rows;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if (samples[i].iterations.empty()) continue;
    rows.push_back(make_row(context, schedules[i], samples[i]));
    rows.back().check = checks[i];
  }
  return rows;
}

/// Fills `report`, of which everything but the measurements is there. What has been measured when the job ends before
/// its time goes into the files. @pre collective
void measure_job(const RunOptions& options, const Job& job, const std::vector<schedule::Schedule>& schedules,
                 const mpi::Communicator& communicator, const Backend& backend, const std::vector<std::string>& hosts,
                 Watchdog& watchdog, measure::Report& report) {
  spdlog::info("calibrating links, kernels and GEMMs");
  const mpi::ClockSync clock(communicator);
  report.clock_source = clock.source();
  const cost::Machine machine = calibration::calibrate(
      *backend.device, *backend.exchange, communicator, clock,
      {job.placement, job.topology, job.config.shape, job.routing.topk, job.routing.tokens, options.seed});
  layer::Layer layer(*backend.device, *backend.exchange,
                     {job.routing, job.placement, job.topology, job.config.shape, options.seed, communicator.rank(),
                      max_chunks(schedules), job.config.counts_known});
  const RowContext context{job, machine, *backend.device, *backend.exchange, hosts};
  SampleSet samples;
  // A token a rank, so that rows of a job that ends early have been checked too.
  std::vector<measure::CheckResult> checks = check_results(layer, schedules, communicator, 1);
  const auto add_rows = [&] {
    report.rows = make_rows(context, schedules, samples.of_schedule, checks);
    for (const Samples& one : samples.of_schedule)
      report.clock_uncertainty_us = std::max(report.clock_uncertainty_us, one.clock_uncertainty_us);
  };
  const EarlyEnd early_end(watchdog, [&](const std::string& why) {
    const std::lock_guard lock(samples.mutex);
    add_rows();
    report.notes.push_back(fmt::format("{} ended the job early: the rows hold what was measured until then", why));
    write_files(options, report);
  });
  spdlog::info("measuring {} strategies, at most {} s", schedules.size(), options.time_limit_s);
  take_samples(layer, schedules, communicator, clock, {options.warmup, options.iterations, options.time_limit_s},
               samples);
  std::vector<measure::CheckResult> final_checks = check_results(layer, schedules, communicator, options.check);
  const std::lock_guard lock(samples.mutex);
  checks = std::move(final_checks);
  report.notes = tuning_notes(options, *backend.exchange);
  add_rows();
}

bool all_trusted(const measure::Report& report) {
  return std::all_of(report.rows.begin(), report.rows.end(),
                     [](const measure::Row& row) { return measure::trusted(row); });
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
  const std::vector<schedule::Schedule> schedules = build_schedules(job);
  require_memory(communicator, job, *backend.device, max_chunks(schedules));
  measure::Report report;
  report.emulated = backend.emulated;
  report.provenance = provenance(communicator, job, hosts, invocation.arguments());
  report.provenance.emplace_back("device", backend.device->description());
  report.config = values_of(options, job.routing);
  report.skew = routing::skew_of(job.routing, job.placement.expert_ranks(), communicator.size());
  report.routing_hash = routing::hash(job.routing);
  try {
    measure_job(options, job, schedules, communicator, backend, hosts, watchdog, report);
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
  return all_trusted(report) ? core::ExitCode::ok : core::ExitCode::wrong_data;
}

core::ExitCode run(const RunOptions& options, Invocation& invocation) {
  if (options.launches > 1 && !launch_child()) {
    resolve(options);
    if (first_process()) {
      for (const std::string& path : output_paths(options)) report::require_writable(path);
    }
    const LaunchOutcome outcome = run_launches(options, invocation.argv);
    if (outcome.merged) write_outputs(options, *outcome.merged);
    return static_cast<core::ExitCode>(outcome.exit_code);
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

}  // namespace ep::bench
