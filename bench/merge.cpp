#include <memory>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "bench/commands.hpp"
#include "measure/launches.hpp"
#include "report/report.hpp"

namespace ep::bench {

namespace {

struct MergeOptions {
  std::vector<std::string> files;
  std::string json;
  std::string csv;
};

void merge(const MergeOptions& options) {
  std::vector<measure::Report> reports;
  for (const std::string& file : options.files) {
    reports.push_back(report::read_file(file));
  }
  const measure::Report merged = measure::merge_launches(reports);
  fmt::print("{}", report::table(merged));
  if (!options.json.empty()) report::write_file(options.json, report::json(merged));
  if (!options.csv.empty()) report::write_file(options.csv, report::csv(merged));
}

}  // namespace

void add_merge(CLI::App& app) {
  CLI::App* const command =
      app.add_subcommand("merge", "medians over several launches of one job, from their --json files");
  const auto options = std::make_shared<MergeOptions>();
  command->add_option("files", options->files, "reports of `epbench run --json`")->required();
  command->add_option("--json", options->json, "write the merged report to FILE");
  command->add_option("--csv", options->csv, "write a line a strategy to FILE");
  command->callback([options] { merge(*options); });
}

}  // namespace ep::bench
