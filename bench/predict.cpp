#include "bench/predict.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "bench/commands.hpp"
#include "bench/version.hpp"
#include "core/error.hpp"
#include "core/parse.hpp"
#include "report/report.hpp"

namespace ep::bench {

namespace {

struct PredictOptions {
  RunOptions layer;
  std::string cluster;
  std::string ranks;  // comma-separated; empty: all of the cluster
  std::string ranks_per_node;
  std::string traffic = "auto";
  std::string against;
  std::string constants;
};

void declare_predict(CLI::App& command, PredictOptions& o) {
  command.option_defaults()->always_capture_default()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  const std::string machine = "Cluster";
  command.add_option("--cluster", o.cluster, "cluster file: data/clusters/*.json, or of epbench calibrate")
      ->group(machine);
  command.add_option("--ranks", o.ranks, "of the job; without: all of the cluster file")->group(machine);
  command.add_option("--ranks-per-node", o.ranks_per_node, "without: what the cluster file says")->group(machine);
  declare_layer(command, o.layer);
  declare_routing(command, o.layer);
  declare_strategy(command, o.layer);
  // Without auto: the rows themselves show the best.
  command.get_option("--strategy")
      ->description(
          "comma-separated: sequential, overlapped, chunked:N, two-batch, each with +defer-dw for weight gradients "
          "after the combine they would delay; all");
  command
      .add_option("--traffic", o.traffic,
                  "exact: make the routing; expected: its expectation; auto: the routing where that is quick")
      ->group("Routing");
  declare_output(command, o.layer);
  const std::string published = "Published measurements";
  command.add_option("--against", o.against, "CSV file of published rows to hold the model against")->group(published);
  command.add_option("--constants", o.constants, "constants file for them: data/published/constants.json")
      ->group(published);
  command.footer(
      "--ranks, --tokens, --routing and --placement take comma-separated lists: a row for each combination.");
}

/// Splits at commas, but those within one routing: lognormal:0.45,hot=2*8,sticky=0.4.
std::vector<std::string> split_routings(std::string_view list) {
  std::vector<std::string> routings;
  for (const std::string& part : split(list, ',')) {
    const bool continues = part.starts_with("hot=") || part.starts_with("sticky=");
    if (continues && !routings.empty()) {
      routings.back() += "," + part;
    } else {
      routings.push_back(part);
    }
  }
  return routings;
}

int parse_ranks(std::string_view word, std::string_view field) {
  constexpr std::int64_t kMost = 1 << 20;
  const std::int64_t value = core::parse_size(word, field);
  if (value < 1 || value > kMost) {
    throw core::InputError("command line", field, word, fmt::format("wanted a number from 1 to {}", kMost));
  }
  return static_cast<int>(value);
}

Traffic parse_traffic(const std::string& word) {
  if (word == "auto") return Traffic::automatic;
  if (word == "exact") return Traffic::exact;
  if (word == "expected") return Traffic::expected;
  throw core::InputError("command line", "--traffic", word, "wanted auto, exact or expected");
}

/// Every combination of the lists.
std::vector<PredictedJob> jobs_of(const PredictOptions& o, const cluster::Cluster& cluster) {
  const int per_node =
      o.ranks_per_node.empty() ? cluster.ranks_per_node : parse_ranks(o.ranks_per_node, "--ranks-per-node");
  const std::string ranks = o.ranks.empty() ? fmt::format("{}", cluster.nodes * cluster.ranks_per_node) : o.ranks;
  for (const std::string& strategy : split(o.layer.strategy, ',')) {
    if (strategy != "auto") continue;
    throw core::InputError("command line", "--strategy", o.layer.strategy,
                           "wanted names, or all to choose from the table");
  }
  std::vector<PredictedJob> jobs;
  for (const std::string& rank_count : split(ranks, ',')) {
    for (const std::string& tokens : split(o.layer.tokens, ',')) {
      for (const std::string& routing : split_routings(o.layer.routing)) {
        for (const std::string& placement : split(o.layer.placement, ',')) {
          PredictedJob job{parse_ranks(rank_count, "--ranks"), per_node, o.layer, parse_traffic(o.traffic)};
          job.options.executed = false;
          job.options.tokens = tokens;
          job.options.routing = routing;
          job.options.placement = placement;
          resolve(job.options);
          jobs.push_back(std::move(job));
        }
      }
    }
  }
  return jobs;
}

measure::Values config_of(const PredictOptions& o, const PredictedJob& first, std::size_t jobs) {
  constexpr std::string_view kProblem[] = {"hidden",         "ffn",           "shared-ffn", "experts",  "topk",
                                           "dispatch-dtype", "combine-dtype", "seed",       "strategy", "direction"};
  measure::Values config;
  // Of several jobs the rows say what differs.
  if (jobs == 1) {
    config = {{"routing", o.layer.routing}, {"tokens", o.layer.tokens}, {"placement", o.layer.placement}};
  }
  for (const auto& [name, value] : values_of(first.options)) {
    if (std::find(std::begin(kProblem), std::end(kProblem), name) != std::end(kProblem))
      config.emplace_back(name, value);
  }
  config.emplace_back("cluster", o.cluster);
  config.emplace_back("ranks", o.ranks);
  config.emplace_back("ranks-per-node", std::int64_t{first.ranks_per_node});
  config.emplace_back("traffic", o.traffic);
  return config;
}

measure::Report predict(const PredictOptions& o) {
  const cluster::Cluster cluster = cluster::load(o.cluster);
  const std::vector<PredictedJob> jobs = jobs_of(o, cluster);
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  measure::Report report;
  report.provenance = {{"version", std::string(kVersion)},
                       {"revision", std::string(kRevision)},
                       {"date", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(now))},
                       {"cluster", cluster.name}};
  report.config = config_of(o, jobs.front(), jobs.size());
  for (const PredictedJob& job : jobs) predict_job(job, cluster, report);
  if (jobs.size() > 1) {
    report.skew = {};
    report.routing_hash = 0;
  }
  return report;
}

void write(const PredictOptions& o, const measure::Report& report, bool sweep) {
  const RunOptions& out = o.layer;
  const bool taken = out.json == "-" || out.csv == "-" || out.trace == "-";  // standard output holds a document
  fmt::print(taken ? stderr : stdout, "{}", sweep ? report::sweep_table(report) : report::table(report));
  if (!out.json.empty()) report::write_file(out.json, report::json(report));
  if (!out.csv.empty()) report::write_file(out.csv, report::csv(report));
  if (!out.trace.empty()) report::write_file(out.trace, report::trace(report));
}

void run_against(const PredictOptions& o) {
  if (o.constants.empty()) {
    throw core::InputError("command line", "--constants", "nothing", "--against wants a constants file");
  }
  if (!o.cluster.empty()) {
    throw core::InputError("command line", "--cluster", o.cluster, "--against takes its hardware from the constants");
  }
  const std::pair<const char*, const std::string&> files[] = {
      {"--json", o.layer.json}, {"--csv", o.layer.csv}, {"--trace", o.layer.trace}};
  for (const auto& [option, path] : files) {
    if (!path.empty()) {
      throw core::InputError("command line", option, path, "--against prints a table and writes no file");
    }
  }
  fmt::print("{}", predict_against(o.against, o.constants));
}

void run(const PredictOptions& o) {
  if (!o.against.empty()) return run_against(o);
  if (o.cluster.empty()) throw core::InputError("command line", "--cluster", "nothing", "wanted a cluster file");
  for (const std::string& path : {o.layer.json, o.layer.csv, o.layer.trace}) {
    if (!path.empty()) report::require_writable(path);
  }
  const measure::Report report = predict(o);
  const auto differs = [&](const measure::Row& row) {
    const measure::Row& first = report.rows.front();
    return row.ranks != first.ranks || row.tokens != first.tokens || row.routing != first.routing ||
           row.placement != first.placement;
  };
  write(o, report, std::any_of(report.rows.begin(), report.rows.end(), differs));
}

}  // namespace

void add_predict(CLI::App& app) {
  CLI::App* const command =
      app.add_subcommand("predict", "what a job would take on a cluster of a cluster file (needs no MPI)");
  const auto options = std::make_shared<PredictOptions>();
  declare_predict(*command, *options);
  command->callback([options] { run(*options); });
}

}  // namespace ep::bench
