#include "bench/calibrate.hpp"

#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <set>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "bench/backend.hpp"
#include "bench/commands.hpp"
#include "bench/measure_job.hpp"
#include "bench/under_mpi.hpp"
#include "bench/watchdog.hpp"
#include "calibration/calibrate.hpp"
#include "calibration/links.hpp"
#include "calibration/survey.hpp"
#include "cluster/cluster.hpp"
#include "core/parse.hpp"
#include "core/step.hpp"
#include "mpi/agreement.hpp"
#include "mpi/topology.hpp"
#include "report/report.hpp"
#include "report/text_table.hpp"

namespace ep::bench {

namespace {

/// "calibrated on a, b (cpu device, mpi exchange), 2026-01-31"; an emulated device is named as such.
std::string origin_of(const Backend& backend, const std::vector<std::string>& hosts) {
  const std::set<std::string> distinct(hosts.begin(), hosts.end());
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  return fmt::format("calibrated on {} ({} device{}, {} exchange), {:%Y-%m-%d}", fmt::join(distinct, ", "),
                     backend.device->name(), backend.emulated ? ", emulated" : "", backend.exchange->name(),
                     fmt::gmtime(now));
}

std::string size_of(double bytes) {
  if (bytes < 1 << 10) return fmt::format("{:.0f} B", bytes);
  return bytes < 1 << 20 ? fmt::format("{:.0f} KiB", bytes / (1 << 10)) : fmt::format("{:.0f} MiB", bytes / (1 << 20));
}

/// Three digits, and all of a large number.
std::string digits(double value) {
  return value < 1000 ? fmt::format("{:.3g}", value) : fmt::format("{:.0f}", value);
}

/// "2.31 (2.2 to 2.42)"; "-" for what the samples do not support.
std::string figure(double value, const calibration::Interval& interval, bool supported) {
  return supported ? fmt::format("{} ({} to {})", digits(value), digits(interval.low), digits(interval.high)) : "-";
}

std::string figure(const std::optional<cost::Estimate>& estimate) {
  return estimate ? figure(estimate->value, {estimate->low, estimate->high}, true) : "-";
}

/// "<0" where the mean time would do better than the line.
std::string r_squared(const std::optional<double>& value) {
  if (!value) return "-";
  return *value < 0 ? "<0" : fmt::format("{:.4f}", *value);
}

/// What the links do under each pattern of messages: to be read, while the cluster file holds what predictions take.
std::string survey_table(const std::vector<calibration::SurveyedPattern>& patterns) {
  report::TextTable table("lllrrrr");
  table.add({"links", "pattern", "busiest rank moves", "latency us (95%)", "GB/s (95%)", "R2", "worst miss"});
  for (const auto& pattern : patterns) {
    if (pattern.fits.empty()) table.add({pattern.links, pattern.pattern, "too few sizes", "-", "-", "-", "-"});
    for (const calibration::LineFit& fit : pattern.fits) {
      table.add({pattern.links, pattern.pattern,
                 fmt::format("{} to {}", size_of(fit.from_bytes), size_of(fit.to_bytes)),
                 figure(fit.latency_us, fit.latency_interval, fit.supports_latency()),
                 figure(fit.gbs, fit.gbs_interval, fit.supports_gbs()), fmt::format("{:.4f}", fit.r_squared),
                 fmt::format("{:.0f}%", 100 * fit.worst_residual)});
    }
  }
  return table.str(2);
}

/// What the constants of a prediction are, each with how far its samples support it.
class ConstantsTable {
 public:
  explicit ConstantsTable(const cost::Fits& fits) : fits_(fits) {
    table_.add({"link, kernel, exchange or GEMM", "sizes", "fixed us (95%)", "GB/s (95%)", "R2", "worst miss"});
  }

  /// Nothing for what was not fitted, as where the job has no such link.
  void add(std::string what, const std::string& name, const cost::Line& line) {
    const auto found = fits_.find(name);
    if (found == fits_.end()) return;
    const cost::Fit& fit = found->second;
    const std::string sizes =
        fmt::format("{} to {}", size_of(fit.samples.front().size), size_of(fit.samples.back().size));
    if (line.points.empty()) return add(std::move(what), sizes, figure(fit.fixed_us), figure(fit.gbs), fit);
    add(std::move(what), sizes, points(line.points), digits(last_rate(line.points, line.start_us)), fit);
  }
  void add(const cost::GemmCurve& curve, const std::string& name) {
    const auto found = fits_.find(name);
    if (found == fits_.end()) return;
    const cost::Fit& fit = found->second;
    const char* const shape = curve.weight_grad ? "[{0} x rows] x [rows x {1}]" : "[rows x {1}] x [{1} x {0}]";
    const double flop_a_row = 2 * static_cast<double>(curve.n) * static_cast<double>(curve.k);
    add(fmt::format(fmt::runtime(shape), curve.n, curve.k),
        fmt::format("{:.0f} to {:.0f} rows", fit.samples.front().size, fit.samples.back().size), points(curve.points),
        fmt::format("{} GFLOP/s", digits(flop_a_row * last_rate(curve.points, 0))), fit);
  }
  [[nodiscard]] std::string str() const { return table_.str(2); }

 private:
  static std::string points(const std::vector<cost::Point>& points) {
    return fmt::format("{} point{}", points.size(), points.size() == 1 ? "" : "s");
  }
  static double last_rate(const std::vector<cost::Point>& points, double start_us) {
    return points.back().size / (start_us + points.back().us) / 1e3;
  }

  void add(std::string what, std::string sizes, std::string fixed, std::string rate, const cost::Fit& fit) {
    table_.add({std::move(what), std::move(sizes), std::move(fixed), std::move(rate), r_squared(fit.r_squared),
                fmt::format("{:.1f}%", 100 * fit.worst_residual())});
  }

  const cost::Fits& fits_;
  report::TextTable table_{"llrrrr"};
};

std::string constants_table(const calibration::Calibration& found) {
  const cost::Machine& machine = found.machine;
  ConstantsTable table(found.fits);
  table.add("one link in a node", "links.in_node", machine.in_node);
  table.add("one link between nodes", "links.between_nodes", machine.between_nodes);
  table.add("memory, whole node", "links.node_memory", machine.node_memory);
  table.add("fabric, by node", "links.fabric", machine.fabric);
  for (const auto& [kind, line] : machine.memory) {
    const std::string_view kernel = schedule::name_of(kind);
    table.add(fmt::format("{}{}", kernel, schedule::is_exchange(kind) ? ", whole node" : ""),
              fmt::format("kernels.{}", kernel), line);
  }
  for (std::size_t i = 0; i < machine.gemm.size(); ++i) table.add(machine.gemm[i], fmt::format("gemm[{}]", i));
  std::string rest;
  if (machine.node_nic.gbs > 0)
    rest = fmt::format("links of a node move {} GB/s each way\n", digits(machine.node_nic.gbs));
  return fmt::format(
      "What predictions take: time = fixed + bytes / GB/s, with 95% intervals; - where the samples support no figure.\n"
      "Where one line misses too much it goes through points, with the rate of the last. R2 and the worst miss are of\n"
      "the line, or of the one line that points replace.\n\n{}{}"
      "compute beside communication takes {:.2f} times as long, communication beside compute {:.2f}\n",
      table.str(), rest, machine.interference.compute, machine.interference.comm);
}

/// A line for each link that differs from its peers.
std::string odd_lines(const cost::Machine& machine, const std::vector<calibration::OddLink>& in_nodes,
                      const std::vector<std::string>& hosts) {
  std::string result;
  for (std::size_t node = 0; node < machine.link_scale.size(); ++node) {
    const int rank = machine.topology.first_rank(static_cast<int>(node));
    const auto [egress, ingress] = machine.link_scale[node];
    for (const auto& [way, scale] : {std::pair{"egress", egress}, std::pair{"ingress", ingress}}) {
      if (scale != 1)
        result += fmt::format("{} of {} (node {}) moves {:.2f} of what its peers' links do\n", way,
                              hosts[static_cast<std::size_t>(rank)], node, scale);
    }
  }
  for (const calibration::OddLink& link : in_nodes)
    result += fmt::format("rank {} to rank {} on {} moves {:.2f} of what other pairs of a node do\n", link.from,
                          link.to, hosts[static_cast<std::size_t>(link.from)], link.scale);
  return result;
}

void print_survey(const calibration::Survey& survey, const calibration::Calibration& found,
                  const std::vector<std::string>& hosts, std::FILE* stream) {
  fmt::print(stream, "{}", constants_table(found));
  if (survey.patterns.empty()) return;
  fmt::print(
      stream,
      "\nExchanges of one pattern each, nothing else running: time = latency + bytes of the busiest rank / GB/s, by\n"
      "weighted least squares, with 95% intervals; two lines where messages below and above some size differ; - where\n"
      "the samples support no figure; R2 and the worst miss tell how well a line holds.\n\n{}{}",
      survey_table(survey.patterns), odd_lines(found.machine, survey.odd_in_nodes, hosts));
}

calibration::CalibrationInput calibration_of(const Job& job, std::uint64_t seed) {
  return {.placement = job.placement,
          .topology = job.topology,
          .shape = job.config.shape,
          .topk = job.routing.topk,
          .tokens = job.routing.tokens,
          .seed = seed,
          .direction = job.config.direction};
}

/// What the file has other than what is measured now: a link that has always been slower is nobody's fault.
std::vector<cost::LinkScale> since(const cost::Machine& file, std::vector<cost::LinkScale> now) {
  for (std::size_t node = 0; node < now.size(); ++node) {
    const cost::LinkScale then = file.scale_of(static_cast<int>(node));
    now[node] = {now[node].egress / then.egress, now[node].ingress / then.ingress};
  }
  return now;
}

}  // namespace

Constants constants(const RunOptions& options, const Job& job, const mpi::Communicator& communicator,
                    device::Device& device, exchange::Exchange& exchange, const mpi::ClockSync& clock) {
  const calibration::CalibrationInput input = calibration_of(job, options.seed);
  if (options.cluster.empty()) {
    spdlog::info("calibrating links, kernels and GEMMs");
    cost::Machine machine = calibration::calibrate(device, exchange, communicator, clock, input).machine;
    return {machine, machine.link_scale};
  }
  const std::string source = core::input_name(options.cluster);
  const std::string text =
      mpi::collectively(communicator, [&] { return cluster::to_json(cluster::load(options.cluster)); });
  cost::Machine machine;
  mpi::all_or_none(communicator, [&] { machine = cluster::to_machine(cluster::parse(text, source), job.topology); });
  core::enter_step("calibration", "comparing the links of nodes");
  return {machine, since(machine, calibration::current_link_scale(device, exchange, communicator, clock, input,
                                                                  machine.between_nodes))};
}

void calibrate_job(const RunOptions& options, const std::string& path, const mpi::Communicator& communicator) {
  const Job job = make_job(options, communicator);
  mpi::all_or_none(communicator, [&] {
    if (communicator.rank() == 0) report::require_writable(path);
  });
  const std::vector<std::string> hosts = communicator.gather_all(mpi::host_name());
  Backend backend;  // outlives the watchdog, which looks at its exchange
  Watchdog watchdog(communicator, hosts[static_cast<std::size_t>(communicator.rank())], options.timeout_s);
  backend = make_backend(options, job.config, communicator);
  watchdog.watch(backend.exchange.get());
  require_memory(communicator, job, *backend.device);
  const mpi::ClockSync clock(communicator);
  calibration::CalibrationInput input = calibration_of(job, options.seed);
  spdlog::info("calibrating and surveying links, kernels and GEMMs");
  input.budget_us *= 5;  // what is calibrated for a file is used more than once
  calibration::Calibration found =
      calibration::calibrate(*backend.device, *backend.exchange, communicator, clock, input);
  core::enter_step("calibration", "surveying the links");
  const calibration::Survey survey =
      calibration::survey(*backend.device, *backend.exchange, communicator, clock, job.topology, found.machine.in_node);
  if (communicator.rank() != 0) return;
  found.machine.origin = origin_of(backend, hosts);
  const std::string name = fmt::format("{}: {} ranks on {} nodes", hosts.front(), hosts.size(), job.topology.nodes);
  cluster::Cluster file = cluster::from_machine(found.machine, name);
  file.fits = found.fits;
  report::write_file(path, cluster::to_json(file));
  print_survey(survey, found, hosts, path == "-" ? stderr : stdout);
}

void add_calibrate(CLI::App& app, Invocation& invocation) {
  CLI::App* const command = app.add_subcommand(
      "calibrate", "measure this job's links, kernels and GEMMs, and write a cluster file (start it with mpirun)");
  const auto options = std::make_shared<RunOptions>();
  const auto path = std::make_shared<std::string>();
  command->option_defaults()->always_capture_default()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  options->direction = "step";  // all that there is
  declare_layer(*command, *options);
  declare_back_end(*command, *options);
  command->add_option("-o,--output", *path, "cluster file to write; -: standard output")->required()->group("Output");
  command->callback([options, path, &invocation] {
    invocation.exit_code = under_mpi(invocation, [&](const mpi::Communicator& communicator) {
      calibrate_job(*options, *path, communicator);
      return core::ExitCode::ok;
    });
  });
}

}  // namespace ep::bench
