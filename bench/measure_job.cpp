#include "bench/measure_job.hpp"

#include <algorithm>
#include <mutex>
#include <numeric>
#include <optional>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "bench/calibrate.hpp"
#include "bench/choice.hpp"
#include "bench/rows.hpp"
#include "bench/sampler.hpp"
#include "layer/reference.hpp"
#include "mpi/agreement.hpp"
#include "mpi/clock_sync.hpp"
#include "schedule/strategy.hpp"

namespace ep::bench {

namespace {

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

int most_chunks(const std::vector<schedule::Schedule>& schedules) {
  int most = 1;
  for (const schedule::Schedule& schedule : schedules) most = std::max(most, schedule.chunks);
  return most;
}

/// Runs the layer once, one operation after the other, before any two overlap. With constants from a file nothing of it
/// has run yet, and what is made at a first call (by cuBLAS, say) may wait for the GPU: beside an NCCL kernel, which
/// waits for its peers, that need not end. Graphs are for schedules that stay: it has an executor of its own.
/// @pre collective
void warm_up(layer::Layer& layer, const Job& job) {
  const schedule::Schedule sequential = build_schedule(job, "sequential");
  layer::Executor executor(layer);
  executor.prepare(sequential);
  executor.run(sequential, layer::Phase::whole);
}

/// Runs each schedule once more and holds its results against the reference on every rank. @pre collective
std::vector<measure::CheckResult> check_results(layer::Layer& layer, layer::Executor& executor,
                                                const std::vector<schedule::Schedule>& schedules,
                                                const mpi::Communicator& communicator, int sample) {
  std::vector<measure::CheckResult> results;
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

}  // namespace

void require_memory(const mpi::Communicator& communicator, const Job& job, const device::Device& device) {
  const int max_chunks = job.config.choose_strategy ? schedule::kMostChunks : most_chunks(build_schedules(job));
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

void measure_job(const MeasureInput& input, Watchdog& watchdog, const KeepReport& keep, measure::Report& report) {
  const auto& [options, job, communicator, backend, hosts] = input;
  const mpi::ClockSync clock(communicator);
  report.clock_source = clock.source();
  const auto [machine, link_scale] = constants(options, job, communicator, *backend.device, *backend.exchange, clock);
  std::vector<schedule::Schedule> schedules = build_schedules(job);
  report.choice = add_choice(schedules, job, machine, communicator);
  if (!backend.sharing.empty()) report.notes.push_back(backend.sharing);
  if (!options.cluster.empty()) report.notes.push_back("predicted with the cluster file of " + machine.origin);
  layer::Layer layer(*backend.device, *backend.exchange,
                     {.routing = job.routing,
                      .placement = job.placement,
                      .topology = job.topology,
                      .shape = job.config.shape,
                      .seed = options.seed,
                      .rank = communicator.rank(),
                      .max_chunks = most_chunks(schedules),
                      .gradients = job.config.gradients(),
                      .counts_known = job.config.counts_known});
  warm_up(layer, job);
  layer::Executor executor(layer, options.cuda_graph);
  const RowContext context{options, job, machine, link_scale, *backend.device, *backend.exchange, hosts};
  SampleSet samples;
  // A token a rank, so that rows of a job that ends early have been checked too.
  std::vector<measure::CheckResult> checks = check_results(layer, executor, schedules, communicator, 1);
  const auto add_rows = [&] {
    report.rows = make_rows(context, schedules, samples.of_schedule, checks);
    for (const Samples& one : samples.of_schedule)
      report.clock_uncertainty_us = std::max(report.clock_uncertainty_us, one.clock_uncertainty_us);
  };
  const EarlyEnd early_end(watchdog, [&](const std::string& why) {
    const std::lock_guard lock(samples.mutex);
    add_rows();
    measure::Report early = report;
    early.notes.push_back(fmt::format("cut short by {}: the rows hold what was measured until then", why));
    keep(early);
  });
  spdlog::info("measuring {} strategies, at most {} s", schedules.size(), options.time_limit_s);
  take_samples(executor, schedules, communicator, clock, {options.warmup, options.iterations, options.time_limit_s},
               samples);
  std::vector<measure::CheckResult> final_checks =
      check_results(layer, executor, schedules, communicator, options.check);
  const std::lock_guard lock(samples.mutex);
  checks = std::move(final_checks);
  // Only now is it known what became of the layer's buffers.
  for (std::string& note : tuning_notes(options, backend)) report.notes.push_back(std::move(note));
  add_rows();
}

}  // namespace ep::bench
