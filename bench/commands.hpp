#pragma once
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "core/error.hpp"

namespace ep::bench {

/// The command line as main got it, and what main will return.
struct Invocation {
  int argc = 0;
  char** argv = nullptr;
  core::ExitCode exit_code = core::ExitCode::ok;

  [[nodiscard]] std::vector<std::string> arguments() const { return {argv + 1, argv + argc}; }
};

// Each adds one subcommand, whose callback does the work, sets the exit code or throws core::Error.
void add_run(CLI::App& app, Invocation& invocation);
void add_calibrate(CLI::App& app, Invocation& invocation);
void add_predict(CLI::App& app);
void add_cost(CLI::App& app);
void add_merge(CLI::App& app);

/// Says what is wrong with the command line once, whichever ranks of an MPI job it is wrong on.
core::ExitCode report_usage_error(Invocation& invocation, const core::Error& error);

}  // namespace ep::bench
