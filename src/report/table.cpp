#include <array>

#include "report/report.hpp"
#include "report/style.hpp"
#include "report/text_table.hpp"
#include "report/totals.hpp"

namespace ep::report {
namespace {

/// Options that define the problem; the others are in the JSON.
constexpr std::array kProblem = {"routing",   "experts",    "topk",           "tokens",        "hidden", "ffn",
                                 "placement", "shared-ffn", "dispatch-dtype", "combine-dtype", "seed"};

std::string text_of(const measure::Value& value) {
  return std::visit(
      [](const auto& typed) {
        if constexpr (std::is_same_v<std::decay_t<decltype(typed)>, double>)
          return fmt::format("{:g}", typed);
        else
          return fmt::format("{}", typed);
      },
      value);
}

std::string find(const measure::Values& values, std::string_view name) {
  for (const auto& [key, value] : values)
    if (key == name) return text_of(value);
  return "";
}

std::string joined(const std::vector<std::string>& words) {
  std::string result;
  for (const std::string& word : words)
    if (!word.empty()) result += (result.empty() ? "" : ", ") + word;
  return result;
}

std::string counted(int count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string job_line(const measure::Report& report) {
  const measure::Row& row = report.rows.front();
  const std::string size = counted(row.ranks, "rank") + " on " + counted(row.nodes, "node");
  if (row.device.empty()) return size + " of " + find(report.provenance, "cluster") + ", predicted";
  return joined({size, row.device + " device",
                 row.exchange + " exchange" + (row.algorithm.empty() ? "" : " (" + row.algorithm + ")"),
                 find(report.provenance, "cpu"), find(report.provenance, "gpu"), find(report.provenance, "mpi")});
}

std::string problem_line(const measure::Report& report) {
  std::vector<std::string> words;
  for (const char* name : kProblem)
    if (const std::string value = find(report.config, name); !value.empty())
      words.push_back(fmt::format("{} {}", name, value));
  return joined(words);
}

std::string skew_line(const measure::Report& report) {
  const std::string hash =
      report.routing_hash == 0 ? "expectation, no hash" : fmt::format("hash {:016x}", report.routing_hash);
  return fmt::format(
      "hottest expert {:.2f} x mean, hottest rank {:.2f} x mean, entropy {:.3f} of even, a token goes to {:.2f} ranks; "
      "{}",
      report.skew.hottest_expert_over_mean, report.skew.hottest_rank_over_mean, report.skew.entropy_over_log2_experts,
      report.skew.distinct_ranks_per_token, hash);
}

std::string units_line(const measure::Report& report, const Style& style) {
  std::string line = fmt::format("times in {} of the slowest rank", style.unit());
  if (report.clock_source == "ping-pong")
    line += fmt::format(", rank clocks aligned to +-{}", style.unmarked_time(report.clock_uncertainty_us));
  return line +
         "; error = (predicted - measured) / measured; share: of the iteration; GB/s: 1e9 bytes/s; caches: as "
         "the iteration before leaves them";
}

std::string header(const measure::Report& report, const Style& style) {
  std::vector<std::string> lines = {fmt::format("epbench {}: {}", find(report.provenance, "version"), job_line(report)),
                                    "problem: " + problem_line(report), "routing: " + skew_line(report),
                                    units_line(report, style)};
  if (report.emulated)
    lines.emplace_back("EMULATED: a figure marked ~ is an emulator's on a CPU and says nothing about a GPU");
  std::string result;
  for (const std::string& line : lines) result += wrapped("# " + line, "#   ");
  return result;
}

/// The bottleneck as a column: what, of which rank or node.
std::string bottleneck_of(const measure::Row& row) {
  const measure::Bottleneck& b = row.bottleneck;
  return b.rank < 0 ? b.resource : fmt::format("{} {}", b.resource, b.rank);
}

}  // namespace

std::string sweep_table(const measure::Report& report) {
  if (report.rows.empty()) return "# epbench: no rows\n";
  const Style style(report);
  std::string result = wrapped(fmt::format("# epbench {}: {}, predicted", find(report.provenance, "version"),
                                           find(report.provenance, "cluster")),
                               "#   ");
  result += wrapped("# problem: " + problem_line(report), "#   ");
  result += wrapped(fmt::format("# times in {} of the slowest rank; busy: share of the predicted time", style.unit()),
                    "#   ");
  TextTable table("rrrlllrrrlr");
  table.add({"ranks", "nodes", "job tokens", "routing", "placement", "strategy", "predicted", "dispatch", "combine",
             "bottleneck", "busy"});
  for (const measure::Row& row : report.rows) {
    table.add({fmt::format("{}", row.ranks), fmt::format("{}", row.nodes), fmt::format("{}", row.tokens), row.routing,
               row.placement, row.direction == "forward" ? row.strategy : row.strategy + ", " + row.direction,
               style.time(row.predicted_us), style.time(total_us(row, "dispatch", &measure::StepResult::predicted_us)),
               style.time(total_us(row, "combine", &measure::StepResult::predicted_us)), bottleneck_of(row),
               fmt::format("{:.0f}%", 100 * row.bottleneck.utilisation)});
  }
  result += table.str(0);
  for (const std::string& note : report.notes) result += wrapped("note: " + note, "  ");
  return result;
}

std::string table(const measure::Report& report) {
  if (report.rows.empty()) return "# epbench: no rows\n";
  const Style style(report);
  std::string result = header(report, style);
  for (const measure::Row& row : report.rows)
    result += "\n" + strategy_section(row, style, report.clock_uncertainty_us);
  result += comparison_section(report, style) + choice_section(report, style);
  if (!report.notes.empty()) result += '\n';
  for (const std::string& note : report.notes) result += wrapped("note: " + note, "  ");
  return result;
}

}  // namespace ep::report
