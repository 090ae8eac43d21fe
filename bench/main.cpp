#include <exception>

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include "bench/commands.hpp"
#include "core/error.hpp"

int main(int argc, char** argv) {
  CLI::App app("epbench: what expert parallelism costs here, beside what it should cost", "epbench");
  app.require_subcommand(1);
  ep::bench::add_run(app, argc, argv);
  ep::bench::add_cost(app);
  try {
    app.parse(argc, argv);
    return static_cast<int>(ep::core::ExitCode::ok);
  } catch (const CLI::ParseError& error) {
    const bool help = error.get_exit_code() == 0;
    app.exit(error);
    return static_cast<int>(help ? ep::core::ExitCode::ok : ep::core::ExitCode::usage);
  } catch (const ep::core::Error& error) {
    fmt::print(stderr, "epbench: {}\n", error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    fmt::print(stderr, "epbench: internal error: {}\n", error.what());
    return static_cast<int>(ep::core::ExitCode::internal);
  }
}
