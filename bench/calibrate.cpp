#include "bench/calibrate.hpp"

#include <chrono>
#include <cstdio>
#include <memory>
#include <set>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "bench/backend.hpp"
#include "bench/commands.hpp"
#include "bench/under_mpi.hpp"
#include "calibration/calibrate.hpp"
#include "calibration/survey.hpp"
#include "cluster/cluster.hpp"
#include "core/parse.hpp"
#include "mpi/agreement.hpp"
#include "mpi/topology.hpp"
#include "report/report.hpp"
#include "report/text_table.hpp"

namespace ep::bench {

namespace {

/// "calibrated on a, b (cpu device, mpi exchange), 2026-01-31".
std::string origin_of(const Backend& backend, const std::vector<std::string>& hosts) {
  const std::set<std::string> distinct(hosts.begin(), hosts.end());
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  return fmt::format("calibrated on {} ({} device, {} exchange), {:%Y-%m-%d}", fmt::join(distinct, ", "),
                     backend.device->name(), backend.exchange->name(), fmt::gmtime(now));
}

std::string size_of(double bytes) {
  return bytes < 1 << 20 ? fmt::format("{:.0f} KiB", bytes / (1 << 10)) : fmt::format("{:.0f} MiB", bytes / (1 << 20));
}

/// "2.31 (2.20 to 2.42)"; "-" for what the samples do not support.
std::string figure(double value, const calibration::Interval& interval, bool supported) {
  return supported ? fmt::format("{:.3g} ({:.3g} to {:.3g})", value, interval.low, interval.high) : "-";
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

/// A line for each link that differs from its peers.
std::string odd_links(const cost::Machine& machine, const std::vector<std::string>& hosts) {
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
  return result;
}

void print_survey(const std::vector<calibration::SurveyedPattern>& patterns, const cost::Machine& machine,
                  const std::vector<std::string>& hosts, std::FILE* stream) {
  if (patterns.empty()) return;
  fmt::print(
      stream,
      "Exchanges of one pattern each, nothing else running: time = latency + bytes of the busiest rank / GB/s, by\n"
      "weighted least squares, with 95% intervals; two lines where messages below and above some size differ; - where\n"
      "the samples support no figure; R2 and the worst miss tell how well a line holds.\n\n{}{}",
      survey_table(patterns), odd_links(machine, hosts));
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

}  // namespace

cost::Machine constants(const RunOptions& options, const Job& job, const mpi::Communicator& communicator,
                        device::Device& device, exchange::Exchange& exchange, const mpi::ClockSync& clock) {
  if (options.cluster.empty()) {
    spdlog::info("calibrating links, kernels and GEMMs");
    return calibration::calibrate(device, exchange, communicator, clock, calibration_of(job, options.seed));
  }
  const std::string source = core::input_name(options.cluster);
  const std::string text =
      mpi::collectively(communicator, [&] { return cluster::to_json(cluster::load(options.cluster)); });
  cost::Machine machine;
  mpi::all_or_none(communicator, [&] { machine = cluster::to_machine(cluster::parse(text, source), job.topology); });
  return machine;
}

void calibrate_job(const RunOptions& options, const std::string& path, const mpi::Communicator& communicator) {
  const Job job = make_job(options, communicator);
  mpi::all_or_none(communicator, [&] {
    if (communicator.rank() == 0) report::require_writable(path);
  });
  const Backend backend = make_backend(options, job.config, communicator);
  const mpi::ClockSync clock(communicator);
  calibration::CalibrationInput input = calibration_of(job, options.seed);
  spdlog::info("calibrating and surveying links, kernels and GEMMs");
  input.budget_us *= 5;  // what is calibrated for a file is used more than once
  cost::Machine machine = calibration::calibrate(*backend.device, *backend.exchange, communicator, clock, input);
  const auto patterns = calibration::survey(*backend.device, *backend.exchange, communicator, clock, job.topology);
  const std::vector<std::string> hosts = communicator.gather_all(mpi::host_name());
  if (communicator.rank() != 0) return;
  machine.origin = origin_of(backend, hosts);
  const std::string name = fmt::format("{}: {} ranks on {} nodes", hosts.front(), hosts.size(), job.topology.nodes);
  report::write_file(path, cluster::to_json(cluster::from_machine(machine, name)));
  print_survey(patterns, machine, hosts, path == "-" ? stderr : stdout);
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
