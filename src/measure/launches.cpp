#include "measure/launches.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "core/error.hpp"
#include "core/median.hpp"

namespace ep::measure {
namespace {

/// The same element (a row, a step, a rank) of every launch.
template <class T>
using Across = std::vector<const T*>;

template <class T>
double median_of(const Across<T>& launches, double T::*member) {
  std::vector<double> values;
  for (const T* launch : launches) values.push_back(launch->*member);
  return core::median(std::move(values));
}

template <class T>
std::optional<double> median_of(const Across<T>& launches, std::optional<double> T::*member) {
  std::vector<double> values;
  for (const T* launch : launches)
    if (launch->*member) values.push_back(*(launch->*member));
  if (values.empty()) return std::nullopt;
  return core::median(std::move(values));
}

/// Element `index` of the list `member` of every launch.
template <class T, class Element>
Across<Element> elements(const Across<T>& launches, std::vector<Element> T::*member, std::size_t index) {
  Across<Element> result;
  for (const T* launch : launches) result.push_back(&(launch->*member)[index]);
  return result;
}

void require_same(bool same, std::string_view strategy, std::string_view what) {
  if (!same)
    throw core::InputError("launches", fmt::format("{} of {}", what, strategy), "different",
                           "only launches of one job have a median");
}

void check_same_job(const Across<Row>& launches) {
  const Row& first = *launches.front();
  for (const Row* row : launches) {
    require_same(row->strategy == first.strategy && row->direction == first.direction, first.strategy, "strategy");
    require_same(row->per_rank.size() == first.per_rank.size(), first.strategy, "ranks");
    require_same(row->steps.size() == first.steps.size(), first.strategy, "steps");
    require_same(row->dispatch_bytes == first.dispatch_bytes && row->combine_bytes == first.combine_bytes,
                 first.strategy, "bytes");
  }
}

/// The options that decide what is measured, without those that say where results go.
Values what_was_run(const Report& report) {
  Values values;
  for (const auto& value : report.config) {
    if (value.first != "json" && value.first != "csv" && value.first != "trace" && value.first != "launches") {
      values.push_back(value);
    }
  }
  return values;
}

StepResult merge_steps(const Across<StepResult>& launches) {
  StepResult step = *launches.front();
  for (double StepResult::*figure :
       {&StepResult::start_us, &StepResult::measured_us, &StepResult::predicted_us, &StepResult::predicted_alone_us})
    step.*figure = median_of(launches, figure);
  return step;
}

RankResult merge_ranks(const Across<RankResult>& launches) {
  RankResult rank = *launches.front();
  rank.lateness_us = median_of(launches, &RankResult::lateness_us);
  rank.iteration_us = median_of(launches, &RankResult::iteration_us);
  rank.exposed_us = median_of(launches, &RankResult::exposed_us);
  rank.overlap_efficiency = median_of(launches, &RankResult::overlap_efficiency);
  rank.compute_interference = median_of(launches, &RankResult::compute_interference);
  return rank;
}

void merge_figures(Row& merged, const Across<Row>& launches) {
  for (double Row::*figure : {&Row::median_us, &Row::p95_us, &Row::max_us, &Row::predicted_us, &Row::route_cost_ms})
    merged.*figure = median_of(launches, figure);
  merged.ci_low_us = median_of(launches, &Row::ci_low_us);
  merged.ci_high_us = median_of(launches, &Row::ci_high_us);
  merged.exposed_us = median_of(launches, &Row::exposed_us);
  merged.overlap_efficiency = median_of(launches, &Row::overlap_efficiency);
  merged.compute_interference = median_of(launches, &Row::compute_interference);
  for (std::size_t i = 0; i < merged.steps.size(); ++i)
    merged.steps[i] = merge_steps(elements(launches, &Row::steps, i));
  for (std::size_t i = 0; i < merged.per_rank.size(); ++i)
    merged.per_rank[i] = merge_ranks(elements(launches, &Row::per_rank, i));
}

/// A suspect of more than half of the launches, with its medians there.
std::vector<Suspect> merge_suspects(const Across<Row>& launches) {
  std::vector<Suspect> merged;
  for (const Row* row : launches) {
    for (const Suspect& suspect : row->suspects) {
      const auto same = [&](const Suspect& other) {
        return other.resource == suspect.resource && other.index == suspect.index;
      };
      if (std::any_of(merged.begin(), merged.end(), same)) continue;
      std::vector<double> slowdowns;
      std::vector<double> waited;
      for (const Row* other : launches) {
        for (const Suspect& one : other->suspects) {
          if (!same(one)) continue;
          slowdowns.push_back(one.slowdown);
          if (one.waited_share) waited.push_back(*one.waited_share);
        }
      }
      if (2 * slowdowns.size() <= launches.size()) continue;
      merged.push_back(suspect);
      merged.back().slowdown = core::median(std::move(slowdowns));
      if (!waited.empty()) merged.back().waited_share = core::median(std::move(waited));
    }
  }
  std::stable_sort(merged.begin(), merged.end(), [](const auto& a, const auto& b) { return a.slowdown > b.slowdown; });
  return merged;
}

void merge_counts(Row& merged, const Across<Row>& launches) {
  merged.launches = static_cast<int>(launches.size());
  merged.launch_medians_us.clear();
  merged.iterations = 0;
  for (const Row* row : launches) {
    merged.launch_medians_us.push_back(row->median_us);
    merged.iterations += row->iterations;
    merged.converged = merged.converged && row->converged;
    if (merged.status == "ok") merged.status = status_of(*row);
  }
  merged.check = {.passed = true};
  for (const Row* row : launches) {
    merged.check.passed = merged.check.passed && row->check.passed;
    merged.check.max_relative_error = std::max(merged.check.max_relative_error, row->check.max_relative_error);
    merged.check.tokens_checked += row->check.tokens_checked;
  }
}

/// The launch whose `figure` is nearest the median of all.
const Row& nearest_median(const Across<Row>& launches, double Row::*figure) {
  const double middle = median_of(launches, figure);
  return **std::min_element(launches.begin(), launches.end(), [&](const Row* a, const Row* b) {
    return std::abs(a->*figure - middle) < std::abs(b->*figure - middle);
  });
}

Row merge_rows(const Across<Row>& launches) {
  check_same_job(launches);
  Row merged = *launches.front();
  merge_figures(merged, launches);
  merge_counts(merged, launches);
  const Row& typical = nearest_median(launches, &Row::median_us);
  merged.bottleneck = typical.bottleneck;
  merged.runner_up = typical.runner_up;
  merged.suspects = merge_suspects(launches);
  merged.measured_spans = typical.measured_spans;
  const Row& predicted = nearest_median(launches, &Row::predicted_us);
  merged.waterfall = predicted.waterfall;
  merged.predicted_spans = predicted.predicted_spans;
  return merged;
}

}  // namespace

Report merge_launches(std::span<const Report> reports) {
  Report merged = reports.front();
  Across<Report> launches;
  for (const Report& report : reports) {
    launches.push_back(&report);
    require_same(report.rows.size() == merged.rows.size(), "the job", "rows");
    require_same(report.routing_hash == merged.routing_hash, "the job", "routing");
    require_same(what_was_run(report) == what_was_run(merged), "the job", "options");
    merged.clock_uncertainty_us = std::max(merged.clock_uncertainty_us, report.clock_uncertainty_us);
    for (const std::string& note : report.notes)
      if (std::find(merged.notes.begin(), merged.notes.end(), note) == merged.notes.end()) merged.notes.push_back(note);
  }
  for (std::size_t i = 0; i < merged.rows.size(); ++i)
    merged.rows[i] = merge_rows(elements(launches, &Report::rows, i));
  return merged;
}

}  // namespace ep::measure
