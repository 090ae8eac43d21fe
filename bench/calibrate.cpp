#include "bench/calibrate.hpp"

#include <chrono>
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
#include "cluster/cluster.hpp"
#include "core/parse.hpp"
#include "mpi/agreement.hpp"
#include "mpi/topology.hpp"
#include "report/report.hpp"

namespace ep::bench {

namespace {

/// "calibrated on a, b (cpu device, mpi exchange), 2026-01-31".
std::string origin_of(const Backend& backend, const std::vector<std::string>& hosts) {
  const std::set<std::string> distinct(hosts.begin(), hosts.end());
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  return fmt::format("calibrated on {} ({} device, {} exchange), {:%Y-%m-%d}", fmt::join(distinct, ", "),
                     backend.device->name(), backend.exchange->name(), fmt::gmtime(now));
}

}  // namespace

cost::Machine constants(const RunOptions& options, const Job& job, const mpi::Communicator& communicator,
                        device::Device& device, exchange::Exchange& exchange, const mpi::ClockSync& clock) {
  if (options.cluster.empty()) {
    spdlog::info("calibrating links, kernels and GEMMs");
    return calibration::calibrate(device, exchange, communicator, clock,
                                  {.placement = job.placement,
                                   .topology = job.topology,
                                   .shape = job.config.shape,
                                   .topk = job.routing.topk,
                                   .tokens = job.routing.tokens,
                                   .seed = options.seed,
                                   .direction = job.config.direction});
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
  cost::Machine machine = constants(options, job, communicator, *backend.device, *backend.exchange, clock);
  const std::vector<std::string> hosts = communicator.gather_all(mpi::host_name());
  if (communicator.rank() != 0) return;
  machine.origin = origin_of(backend, hosts);
  const std::string name = fmt::format("{}: {} ranks on {} nodes", hosts.front(), hosts.size(), job.topology.nodes);
  report::write_file(path, cluster::to_json(cluster::from_machine(machine, name)));
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
