#pragma once
#include <CLI/CLI.hpp>

namespace ep::bench {

// Each adds one subcommand, whose callback does the work and throws core::Error on failure.
void add_run(CLI::App& app, int argc, char** argv);
void add_cost(CLI::App& app);

}  // namespace ep::bench
