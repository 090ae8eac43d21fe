#include <exception>

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include "bench/commands.hpp"
#include "core/error.hpp"
#include "device/cuda_device.hpp"

int main(int argc, char** argv) {
  ep::device::prepare_cuda_environment();
  ep::bench::Invocation invocation{argc, argv};
  CLI::App app("epbench: what expert parallelism costs here, beside what it should cost", "epbench");
  app.require_subcommand(1);
  ep::bench::add_run(app, invocation);
  ep::bench::add_calibrate(app, invocation);
  ep::bench::add_predict(app);
  ep::bench::add_cost(app);
  ep::bench::add_merge(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help
    app.exit(success);
  } catch (const CLI::ParseError& error) {
    const ep::core::Error usage(ep::core::ExitCode::usage, fmt::format("command line: {}", error.what()));
    invocation.exit_code = ep::bench::report_usage_error(invocation, usage);
  } catch (const ep::core::Error& error) {
    fmt::print(stderr, "epbench: {}\n", error.what());
    invocation.exit_code = error.code();
  } catch (const std::exception& error) {
    fmt::print(stderr, "epbench: internal error: {}\n", error.what());
    invocation.exit_code = ep::core::ExitCode::internal;
  }
  return static_cast<int>(invocation.exit_code);
}
