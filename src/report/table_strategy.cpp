#include <algorithm>
#include <cmath>

#include "report/style.hpp"
#include "report/text_table.hpp"
#include "report/totals.hpp"

namespace ep::report {
namespace {

using measure::Row;

/// Steps of more than two parts, gate_up[0] to gate_up[3], as one, gate_up x4, with their times summed and the start of
/// the first: a table of every part would hide what it shows.
std::vector<measure::StepResult> folded(const std::vector<measure::StepResult>& steps) {
  const auto whole = [](const measure::StepResult& step) { return step.name.substr(0, step.name.find('[')); };
  std::vector<measure::StepResult> result;
  for (const measure::StepResult& step : steps) {
    const std::string name = whole(step);
    const auto parts =
        std::count_if(steps.begin(), steps.end(), [&](const auto& other) { return whole(other) == name; });
    if (parts <= 2) {
      result.push_back(step);
      continue;
    }
    const std::string together = fmt::format("{} x{}", name, parts);
    const auto found =
        std::find_if(result.begin(), result.end(), [&](const auto& other) { return other.name == together; });
    if (found == result.end()) {
      result.push_back(step);
      result.back().name = together;
    } else {
      found->measured_us += step.measured_us;
      found->predicted_us += step.predicted_us;
    }
  }
  return result;
}

std::string steps_table(const Row& row, const Style& style) {
  TextTable table("llrrrrrl");
  table.add({"step", "stream", "start", "measured", "predicted", "error", "share", "bound by"});
  const std::vector<measure::StepResult> steps = folded(row.steps);
  for (const measure::StepResult& step : steps) {
    const auto measured = shown(row, step.measured_us);
    const auto share = measured && row.median_us > 0 ? std::optional(100 * *measured / row.median_us) : std::nullopt;
    table.add({step.name, step.stream, style.time(shown(row, step.start_us)), style.time(measured),
               style.time(step.predicted_us), error_or_dash(step.predicted_us, measured), fixed_or_dash(share, 1, "%"),
               step.resource});
  }
  table.add({"iteration", "", "", verdict(row, style), style.time(row.predicted_us),
             error_or_dash(row.predicted_us, shown(row, row.median_us)), "", ""});
  if (steps.size() == row.steps.size()) return table.str(2);
  return table.str(2) + "  (x: so many parts together, from the start of the first; --json and --trace have each)\n";
}

/// "rank 3 egress", "node 0 memory", "compute of rank 1".
std::string name_of(const measure::Bottleneck& bottleneck) {
  const std::string& resource = bottleneck.resource;
  if (bottleneck.rank < 0) return resource;
  if (resource.starts_with("node ")) return fmt::format("node {} {}", bottleneck.rank, resource.substr(5));
  return fmt::format("rank {} {}", bottleneck.rank, resource);
}

std::string describe(const measure::Bottleneck& bottleneck) {
  std::string text =
      fmt::format("{}, busy {:.0f}% of the predicted time", name_of(bottleneck), 100 * bottleneck.utilisation);
  return bottleneck.step.empty() ? text : text + ", most in " + bottleneck.step;
}

/// "compute of rank 1 on b: 1.90 times its peers' time for the same work; without a core for 47% of it".
std::string suspect_lines(const Row& row) {
  std::string result;
  for (const measure::Suspect& suspect : row.suspects) {
    const bool is_node = suspect.resource.starts_with("node ");
    const std::string text =
        is_node ? fmt::format("{} of {} (node {})", suspect.resource.substr(5), suspect.host, suspect.index)
                : fmt::format("{} of rank {} on {}", suspect.resource, suspect.index, suspect.host);
    // A rank with a core of its own waits for it a little, too, when its other threads run.
    constexpr double kWorthSaying = 0.1;
    const bool waited = suspect.waited_share.value_or(0) > kWorthSaying;
    result += labelled(
        "suspect",
        fmt::format("{}: {:.2f} times its peers' time for the same {}{}", text, suspect.slowdown,
                    is_node ? "bytes" : "work",
                    waited ? fmt::format("; without a core for {:.0f}% of it", 100 * *suspect.waited_share) : ""));
  }
  return result;
}

std::string bottleneck_lines(const Row& row) {
  std::string result;
  if (!row.bottleneck.resource.empty()) result += labelled("bottleneck", describe(row.bottleneck));
  if (!row.runner_up.resource.empty()) result += labelled("runner-up", describe(row.runner_up));
  return result;
}

/// "latency 0.1 + compute 35.1 + … = predicted 40.2", and what is measured beyond it.
std::string waterfall_line(const Row& row, const Style& style) {
  const measure::Waterfall& w = row.waterfall;
  std::string text = "latency " + style.time(w.latency_us);
  const auto add = [&](const char* cause, double us) {
    text += fmt::format(" {} {} {}", us < 0 ? '-' : '+', cause, style.time(std::abs(us)));
  };
  add("compute", w.compute_us);
  add("transfer", w.transfer_us);
  add("skew", w.skew_us);
  add("contention", w.contention_us);
  std::string result = labelled("made of", text + " = predicted " + style.time(w.predicted_us()));
  if (!measure::trusted(row)) return result;
  text = "predicted " + style.time(w.predicted_us());
  add("lateness", w.lateness_us);
  add("unexplained", measure::unexplained_us(row));
  return result + labelled("", text + " = measured " + style.time(row.median_us));
}

std::string median_line(const Row& row, const Style& style) {
  const std::string interval =
      row.ci_low_us ? fmt::format("95% interval {} to {}", style.time(row.ci_low_us), style.time(row.ci_high_us))
                    : "too few iterations for an interval";
  return labelled("median", fmt::format("{} ({}), p95 {}, max {}; {} iteration{}, {}", style.time(row.median_us),
                                        interval, style.time(row.p95_us), style.time(row.max_us), row.iterations,
                                        row.iterations == 1 ? "" : "s", row.converged ? "converged" : "not converged"));
}

std::string launches_line(const Row& row, const Style& style) {
  const auto spread = launch_spread(row);
  if (!spread) return "";
  const auto [low, high] = std::minmax_element(row.launch_medians_us.begin(), row.launch_medians_us.end());
  return labelled("launches", fmt::format("{}, medians {} to {}: differences below {:.1f}% are noise", row.launches,
                                          style.time(*low), style.time(*high), 100 * *spread));
}

/// The latest ranks by name, the rest by their maximum: what the clocks cannot tell apart, or is under 1 % of the
/// iteration, names nobody.
std::string lateness_line(const Row& row, const Style& style, double clock_uncertainty_us) {
  if (row.per_rank.size() < 2) return "";
  constexpr std::size_t kNamed = 4;
  std::vector<measure::RankResult> ranks = row.per_rank;
  std::sort(ranks.begin(), ranks.end(), [](const auto& a, const auto& b) { return a.lateness_us > b.lateness_us; });
  const double floor_us = std::max(clock_uncertainty_us, 0.01 * row.median_us);
  std::string text;
  std::size_t named = 0;
  for (; named < std::min(kNamed, ranks.size()) && ranks[named].lateness_us > floor_us; ++named)
    text += fmt::format("rank {} by {}, ", ranks[named].rank, style.time(ranks[named].lateness_us));
  if (named == ranks.size()) return labelled("lateness", text.substr(0, text.size() - 2));
  const double rest_us = ranks[named].lateness_us;
  const std::string rest = rest_us < clock_uncertainty_us ? "< " + style.unmarked_time(clock_uncertainty_us)
                                                          : "at most " + style.time(rest_us);
  return labelled("lateness", fmt::format("{}{} by {}", text, named == 0 ? "every rank" : "the others", rest));
}

std::string check_line(const Row& row) {
  const std::string_view status = measure::status_of(row);
  if (status == "predicted") return "";
  if (status == "unchecked")
    return labelled("NOT CHECKED", "no result was compared with the reference: no time is shown");
  const std::string compared =
      fmt::format("{} tokens against a double-precision reference, relative error up to {:.1e}",
                  row.check.tokens_checked, row.check.max_relative_error);
  return status == "ok" ? labelled("check", "passed: " + compared)
                        : labelled("WRONG DATA", compared + ": no time is shown");
}

/// Iteration time that no step covers; the steps are in order of issue, not of time.
double uncovered_us(const Row& row) {
  std::vector<std::pair<double, double>> busy;
  for (const measure::StepResult& step : row.steps) busy.emplace_back(step.start_us, step.start_us + step.measured_us);
  std::sort(busy.begin(), busy.end());
  double covered_us = 0;
  double until_us = 0;
  for (const auto& [start_us, end_us] : busy) {
    covered_us += std::max(0.0, end_us - std::max(start_us, until_us));
    until_us = std::max(until_us, end_us);
  }
  return row.median_us - covered_us;
}

/// What the steps leave unexplained, when it is enough to be asked about.
std::string waiting_line(const Row& row, const Style& style) {
  constexpr double kWorthSaying = 0.05;
  const double waiting_us = uncovered_us(row);
  if (waiting_us < kWorthSaying * row.median_us) return "";
  return labelled("waiting", fmt::format("{} ({:.1f}%) of the iteration lies between the steps: ranks waiting for one "
                                         "another, and overhead",
                                         style.time(waiting_us), 100 * waiting_us / row.median_us));
}

struct ByteKind {
  const char* name;
  std::int64_t plan::ByteCounts::*bytes;
  const char* meaning;
};
constexpr ByteKind kByteKinds[] = {
    {"useful", &plan::ByteCounts::useful, "every copy, also those that stay on their rank"},
    {"logical (rank)", &plan::ByteCounts::logical_rank, "once for each rank a token goes to, its own included"},
    {"logical (node)", &plan::ByteCounts::logical_node, "once for each node a token goes to, its own included"},
    {"wire (rank)", &plan::ByteCounts::wire_rank, "what really leaves a rank"},
    {"wire (node)", &plan::ByteCounts::wire_node, "what really leaves a node"},
};

std::string bytes_table(const Row& row, const Style& style) {
  const auto dispatch_us = total_us(row, "dispatch");
  const auto combine_us = total_us(row, "combine");
  const auto megabytes = [](std::int64_t bytes) { return fmt::format("{:.3f}", static_cast<double>(bytes) / 1e6); };
  const auto rate = [&](std::int64_t bytes, std::optional<double> us) -> std::string {
    if (!measure::trusted(row) || !us || *us <= 0 || bytes == 0) return "-";
    return style.marked(fmt::format("{:.2f}", static_cast<double>(bytes) / *us / 1e3));
  };
  TextTable table("lrrrrl");
  table.add({"bytes, all ranks", "dispatch MB", "GB/s", "combine MB", "GB/s",
             "what is counted (GB/s: over the measured step)"});
  for (const ByteKind& kind : kByteKinds) {
    const std::int64_t dispatch = row.dispatch_bytes.*kind.bytes;
    const std::int64_t combine = row.combine_bytes.*kind.bytes;
    table.add({kind.name, megabytes(dispatch), rate(dispatch, dispatch_us), megabytes(combine),
               rate(combine, combine_us), kind.meaning});
  }
  return table.str(2);
}

}  // namespace

std::string strategy_section(const Row& row, const Style& style, double clock_uncertainty_us) {
  std::string result = fmt::format("{}, {}\n", row.strategy, row.direction) + steps_table(row, style) + "\n";
  if (measure::trusted(row)) {
    result += median_line(row, style) + launches_line(row, style);
    result += lateness_line(row, style, clock_uncertainty_us) + waiting_line(row, style);
  }
  result += waterfall_line(row, style) + bottleneck_lines(row);
  if (measure::trusted(row)) result += suspect_lines(row);
  result += labelled("route cost", style.marked(fmt::format("{:.4f}", row.route_cost_ms)) +
                                       " ms, if all remote copies crossed one link one after another");
  result += check_line(row);
  return result + "\n" + bytes_table(row, style);
}

}  // namespace ep::report
