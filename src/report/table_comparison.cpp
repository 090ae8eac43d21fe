#include <fmt/ranges.h>

#include "report/style.hpp"
#include "report/text_table.hpp"
#include "report/totals.hpp"

namespace ep::report {
namespace {

using measure::Row;

/// Speed-ups are against the first row of the same direction: forward and backward are different work.
const Row& base_of(const measure::Report& report, const Row& row) {
  return *std::find_if(report.rows.begin(), report.rows.end(),
                       [&row](const Row& other) { return other.direction == row.direction; });
}

std::string ratio_or_dash(double base, double value, bool applies) {
  return applies && value > 0 ? fmt::format("{:.2f}x", base / value) : "-";
}

double comm_us(const Row& row) {
  double total = 0;
  for (const measure::StepResult& step : row.steps)
    if (step.stream == "comm") total += step.measured_us;
  return total;
}

/// By how much a row's time may be off: the spread of its launches, half the interval of its median, or the 2 % at
/// which a row stops measuring. Null where neither is known.
std::optional<double> noise_of(const Row& row) {
  const auto spread = launch_spread(row);
  if (row.median_us <= 0 || (!spread && !row.ci_low_us)) return std::nullopt;
  const double half_interval = row.ci_low_us ? 0.5 * (*row.ci_high_us - *row.ci_low_us) / row.median_us : 0;
  return std::max({0.02, spread.value_or(0), half_interval});
}

/// Gains below this are not told apart from noise.
std::optional<double> noise_of(const Row& row, const Row& base) {
  const auto own = noise_of(row);
  const auto other = noise_of(base);
  return own && other ? std::optional(std::max(*own, *other)) : std::nullopt;
}

/// Compute time beside communication over compute time alone, by the cost model; null for one rank.
std::optional<double> predicted_interference(const Row& row) {
  double beside_us = 0;
  double alone_us = 0;
  for (const measure::StepResult& step : row.steps) {
    if (step.stream != "compute") continue;
    beside_us += step.predicted_us;
    alone_us += step.predicted_alone_us;
  }
  return row.ranks > 1 && alone_us > 0 ? std::optional(beside_us / alone_us) : std::nullopt;
}

/// Why overlapping this row brought nothing, from what was measured.
std::string reason(const Row& row, const Row& base, const Style& style) {
  const double interference = row.compute_interference.value_or(1);
  if (interference >= 1.05)
    return fmt::format("compute ran {:.2f} times as long while communication ran beside it (predicted {}): {}",
                       interference, fixed_or_dash(predicted_interference(row), 2),
                       row.device == "cpu" && row.nodes == 1
                           ? "between cpu ranks of one node moving the bytes is itself compute, on the same cores and "
                             "memory"
                           : "they share what they run on");
  if (const double share = comm_us(base) / base.median_us; share < 0.05)
    return fmt::format("communication is only {:.1f}% of the time, so there is little to hide", 100 * share);
  if (row.exposed_us && *row.exposed_us <= 0) return "communication was hidden, but its steps took longer in all";
  if (row.exposed_us)
    return fmt::format("{} {} of communication stay exposed: the compute beside it is too short or not independent",
                       style.time(row.exposed_us), style.unit());
  return "nothing ran beside the communication";
}

/// Rows that overlapping brought nothing, for one reason.
struct NoGain {
  const Row* base;
  std::string reason;
  std::vector<std::string> strategies;  // "overlapped (0.97x)"
  double noise = 0;
};

std::vector<NoGain> without_gain(const measure::Report& report, const Style& style) {
  std::vector<NoGain> result;
  for (const Row& row : report.rows) {
    const Row& base = base_of(report, row);
    if (&row == &base || !measure::trusted(row) || !measure::trusted(base)) continue;
    const double gain = base.median_us / row.median_us;
    const auto noise = noise_of(row, base);
    if (!noise || gain > 1 + *noise) continue;
    const std::string why = reason(row, base, style);
    auto same = std::find_if(result.begin(), result.end(),
                             [&](const NoGain& other) { return other.base == &base && other.reason == why; });
    if (same == result.end()) same = result.insert(result.end(), {&base, why, {}});
    same->strategies.push_back(fmt::format("{} ({:.2f}x)", row.strategy, gain));
    same->noise = std::max(same->noise, *noise);
  }
  return result;
}

std::string no_gain_notes(const measure::Report& report, const Style& style) {
  std::string notes;
  std::vector<std::string> unknown;
  for (const Row& row : report.rows) {
    const Row& base = base_of(report, row);
    if (&row != &base && measure::trusted(row) && measure::trusted(base) && !noise_of(row, base))
      unknown.push_back(row.strategy);
  }
  if (!unknown.empty())
    notes +=
        wrapped(fmt::format("{}: too few iterations to tell a gain from noise: a larger -n or --time-limit gives more.",
                            fmt::join(unknown, ", ")),
                "  ");
  for (const NoGain& group : without_gain(report, style))
    notes += wrapped(fmt::format("{} {} no gain over {} (noise {:.1f}%): {}.", fmt::join(group.strategies, ", "),
                                 group.strategies.size() == 1 ? "brings" : "bring", group.base->strategy,
                                 100 * group.noise, group.reason),
                     "  ");
  return notes;
}

bool one_direction(const measure::Report& report) {
  return std::all_of(report.rows.begin(), report.rows.end(),
                     [&report](const Row& row) { return row.direction == report.rows.front().direction; });
}

}  // namespace

/// What `auto` chose, why, and how far that was from the best of what was measured.
std::string choice_section(const measure::Report& report, const Style& style) {
  constexpr std::size_t kShown = 5;
  if (!report.choice || report.choice->candidates.empty()) return "";
  const auto& candidates = report.choice->candidates;
  TextTable table("lrrr");
  table.add({"candidate", "predicted", "compute", "exposed"});
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const measure::Candidate& candidate = candidates[i];
    if (i < kShown || candidate.strategy == "sequential")
      table.add({candidate.strategy, style.time(candidate.predicted_us), style.time(candidate.compute_us),
                 style.time(candidate.predicted_us - candidate.compute_us)});
  }
  const std::string head = fmt::format(
      "auto chose {}: the shortest predicted time of {} candidates (compute: of the rank that computes longest; "
      "exposed: the rest, communication and waiting that no compute hides; shown: the best {}, and sequential)",
      report.choice->strategy, candidates.size(), std::min(kShown, candidates.size()));
  std::string text = "\n" + wrapped(head, "  ") + table.str(2);
  const auto result = choice_result(report);
  if (!result) return text;
  if (result->chosen == result->fastest) return text + "  measured: it was the fastest of those measured too\n";
  const auto noise = noise_of(*result->chosen, *result->fastest);
  return text + fmt::format("  measured: {:.1f}% above {}, the fastest of those measured (noise {})\n",
                            result->above_percent(), result->fastest->strategy,
                            noise ? fmt::format("{:.1f}%", 100 * *noise) : "unknown: too few iterations");
}

std::string comparison_section(const measure::Report& report, const Style& style) {
  if (report.rows.size() < 2) return "";
  const bool named_direction = !one_direction(report);
  TextTable table("lrrrrrrrrr");
  table.add({"strategy", "median", "predicted", "error", "speed-up", "predicted speed-up", "exposed", "efficiency",
             "interference", "as predicted"});
  for (const Row& row : report.rows) {
    const Row& base = base_of(report, row);
    const bool trusted = measure::trusted(row);
    table.add({named_direction ? row.strategy + ", " + row.direction : row.strategy, verdict(row, style),
               style.time(row.predicted_us), error_or_dash(row.predicted_us, shown(row, row.median_us)),
               ratio_or_dash(base.median_us, row.median_us, trusted && measure::trusted(base)),
               ratio_or_dash(base.predicted_us, row.predicted_us, true),
               style.time(trusted ? row.exposed_us : std::nullopt),
               fixed_or_dash(trusted ? row.overlap_efficiency : std::nullopt, 2),
               fixed_or_dash(trusted ? row.compute_interference : std::nullopt, 2, "x"),
               fixed_or_dash(predicted_interference(row), 2, "x")});
  }
  return "\nstrategies compared (speed-up over the first; exposed: communication that no compute hid; efficiency: 1 "
         "all hidden,\n0 none, negative a loss; interference: compute time beside communication over compute time "
         "alone,\nmeasured and as predicted)\n" +
         table.str(2) + no_gain_notes(report, style);
}

}  // namespace ep::report
