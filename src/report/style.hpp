#pragma once
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "measure/result.hpp"

namespace ep::report {

/// How a whole table writes its numbers: one unit of time throughout, and a mark on each time that was emulated.
class Style {
 public:
  explicit Style(const measure::Report& report) : emulated_(report.emulated) {
    double longest_us = 0;
    for (const measure::Row& row : report.rows)
      longest_us = std::max({longest_us, row.predicted_us, measure::trusted(row) ? row.median_us : 0});
    milliseconds_ = longest_us >= 1e4;
  }

  [[nodiscard]] std::string_view unit() const { return milliseconds_ ? "ms" : "us"; }

  /// "12.3", "~12.3" when emulated, "-" for what does not apply.
  [[nodiscard]] std::string time(std::optional<double> us) const { return us ? marked(unmarked_time(*us)) : "-"; }

  /// A time that no emulator has touched.
  [[nodiscard]] std::string unmarked_time(double us) const {
    return milliseconds_ ? fmt::format("{:.3f}", us / 1e3) : fmt::format("{:.1f}", us);
  }

  /// Anything derived from a measured time.
  [[nodiscard]] std::string marked(const std::string& figure) const { return emulated_ ? "~" + figure : figure; }

 private:
  bool emulated_;
  bool milliseconds_ = false;
};

inline std::string fixed_or_dash(std::optional<double> value, int digits, std::string_view unit = "") {
  return value ? fmt::format("{:.{}f}{}", *value, digits, unit) : "-";
}

/// Signed percentage with one decimal.
inline std::string error_or_dash(std::optional<double> predicted, std::optional<double> measured) {
  if (!predicted || !measured || *measured <= 0) return "-";
  return fmt::format("{:+.1f}%", measure::error_percent(*predicted, *measured));
}

/// "line": a label, then text, aligned over all lines of a section.
inline std::string labelled(std::string_view label, std::string_view text) {
  return fmt::format("  {:<11} {}\n", label, text);
}

/// A measured time, unless the row's results were never checked or wrong.
inline std::optional<double> shown(const measure::Row& row, double us) {
  return measure::trusted(row) ? std::optional(us) : std::nullopt;
}

/// What stands where a median would: the time, or why there is none.
inline std::string verdict(const measure::Row& row, const Style& style) {
  const std::string_view status = measure::status_of(row);
  if (status == "ok") return style.time(row.median_us);
  if (status == "predicted") return "-";
  return status == "unchecked" ? "NOT CHECKED" : "WRONG DATA";
}

/// (max - min) / median over launches; null for a single launch.
inline std::optional<double> launch_spread(const measure::Row& row) {
  if (row.launch_medians_us.size() < 2 || row.median_us <= 0) return std::nullopt;
  const auto [low, high] = std::minmax_element(row.launch_medians_us.begin(), row.launch_medians_us.end());
  return (*high - *low) / row.median_us;
}

std::string strategy_section(const measure::Row& row, const Style& style, double clock_uncertainty_us);

/// Empty for a single row.
std::string comparison_section(const measure::Report& report, const Style& style);

/// Empty unless the model chose a strategy.
std::string choice_section(const measure::Report& report, const Style& style);

}  // namespace ep::report
