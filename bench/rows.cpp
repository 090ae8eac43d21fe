#include "bench/rows.hpp"

#include <algorithm>
#include <cmath>

#include "bench/prediction.hpp"
#include "bench/suspects.hpp"
#include "core/median.hpp"
#include "measure/statistics.hpp"

namespace ep::bench {

namespace {

struct Measured {
  std::vector<double> totals_us;                       // [iterations]
  std::vector<double> lateness_us;                     // [iterations] of the last rank
  std::vector<std::vector<double>> op_start_us;        // [ops][iterations]
  std::vector<std::vector<double>> op_duration_us;     // [ops][iterations]
  std::vector<std::vector<double>> rank_lateness_us;   // [ranks][iterations]
  std::vector<std::vector<double>> rank_iteration_us;  // [ranks][iterations]
};

Measured collect(const schedule::Schedule& schedule, const Samples& samples, int ranks) {
  Measured m;
  m.op_start_us.resize(schedule.ops.size());
  m.op_duration_us.resize(schedule.ops.size());
  m.rank_lateness_us.resize(static_cast<std::size_t>(ranks));
  m.rank_iteration_us.resize(static_cast<std::size_t>(ranks));
  for (const schedule::Timeline& timeline : samples.iterations) {
    m.totals_us.push_back(schedule::iteration_us(timeline));
    const auto times = schedule::op_times(schedule, timeline);
    for (std::size_t op = 0; op < times.size(); ++op) {
      m.op_start_us[op].push_back(times[op].start_us);
      m.op_duration_us[op].push_back(times[op].duration_us);
    }
    const std::vector<double> late = schedule::lateness_us(timeline, ranks);
    m.lateness_us.push_back(*std::max_element(late.begin(), late.end()));
    for (std::size_t rank = 0; rank < late.size(); ++rank) m.rank_lateness_us[rank].push_back(late[rank]);
    for (int rank = 0; rank < ranks; ++rank) {
      schedule::Timeline mine;
      std::copy_if(timeline.spans.begin(), timeline.spans.end(), std::back_inserter(mine.spans),
                   [&](const schedule::Span& span) { return span.rank == rank; });
      m.rank_iteration_us[static_cast<std::size_t>(rank)].push_back(schedule::iteration_us(mine));
    }
  }
  return m;
}

/// The iteration nearest the median, moved to start at 0.
std::vector<schedule::Span> typical(const Samples& samples, const std::vector<double>& totals, double median) {
  const auto nearest = std::min_element(
      totals.begin(), totals.end(), [&](double a, double b) { return std::abs(a - median) < std::abs(b - median); });
  std::vector<schedule::Span> spans = samples.iterations[static_cast<std::size_t>(nearest - totals.begin())].spans;
  const double origin = std::min_element(spans.begin(), spans.end(), [](const auto& a, const auto& b) {
                          return a.start_us < b.start_us;
                        })->start_us;
  for (schedule::Span& span : spans) {
    span.start_us -= origin;
    span.end_us -= origin;
  }
  return spans;
}

void add_ranks(measure::Row& row, const RowContext& context, const Samples& samples, const Measured& m) {
  for (int rank = 0; rank < row.ranks; ++rank) {
    const auto r = static_cast<std::size_t>(rank);
    measure::RankResult result;
    result.rank = rank;
    result.host = context.hosts[r];
    result.lateness_us = core::median(m.rank_lateness_us[r]);
    result.iteration_us = core::median(m.rank_iteration_us[r]);
    if (const auto figures = row.ranks > 1 ? measure::overlap(samples.overlap[r]) : std::nullopt) {
      result.exposed_us = figures->exposed_us;
      result.overlap_efficiency = figures->efficiency;
      result.compute_interference = figures->interference;
    }
    row.per_rank.push_back(std::move(result));
  }
  const auto slowest = std::max_element(row.per_rank.begin(), row.per_rank.end(),
                                        [](const auto& a, const auto& b) { return a.iteration_us < b.iteration_us; });
  row.exposed_us = slowest->exposed_us;
  row.overlap_efficiency = slowest->overlap_efficiency;
  row.compute_interference = slowest->compute_interference;
}

void add_measured_steps(measure::Row& row, const Measured& m) {
  for (std::size_t op = 0; op < row.steps.size(); ++op) {
    row.steps[op].start_us = core::median(m.op_start_us[op]);
    row.steps[op].measured_us = core::median(m.op_duration_us[op]);
  }
}

}  // namespace

measure::Row make_row(const RowContext& context, const schedule::Schedule& schedule, const Samples& samples) {
  const Job& job = context.job;
  measure::Row row;
  row.device = context.device.name();
  row.exchange = context.exchange.name();
  row.algorithm = context.exchange.algorithm();
  row.ranks = job.topology.ranks();
  row.tokens = job.routing.tokens;
  row.routing = context.options.routing;
  row.placement = context.options.placement;
  const Measured measured = collect(schedule, samples, row.ranks);
  const measure::Summary summary = measure::summarise(measured.totals_us);
  row.iterations = static_cast<int>(measured.totals_us.size());
  row.converged = samples.converged;
  row.median_us = summary.median;
  row.p95_us = summary.p95;
  row.max_us = summary.max;
  row.ci_low_us = summary.ci_low;
  row.ci_high_us = summary.ci_high;
  row.launch_medians_us = {summary.median};
  const plan::Plan plan = plan::make_plan(job.routing, job.placement, job.topology, schedule.chunks);
  const cost::Prediction prediction = add_prediction(row, {schedule, plan, job.config.shape, context.machine});
  row.waterfall.lateness_us = core::median(measured.lateness_us);
  row.measured_spans = typical(samples, measured.totals_us, summary.median);
  row.suspects = find_suspects({job.topology, context.hosts, context.link_scale, schedule, samples, prediction});
  add_measured_steps(row, measured);
  add_ranks(row, context, samples, measured);
  return row;
}

}  // namespace ep::bench
