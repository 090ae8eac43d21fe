#include <memory>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include "bench/commands.hpp"
#include "core/parse.hpp"
#include "cost/route_cost.hpp"

namespace ep::bench {

void add_cost(CLI::App& app) {
  // A parsed number takes about 20 bytes of memory for the 2 or 3 that it has in the file.
  constexpr std::int64_t kMaxInputBytes = std::int64_t{256} << 20;
  CLI::App* const command =
      app.add_subcommand("cost", "Price a routing by the closed form: remote bytes over one link");
  const auto input = std::make_shared<std::string>();
  command
      ->add_option("--input", *input,
                   "JSON file, or - for standard input: token_assignments, expert_to_gpu, token_to_gpu, "
                   "token_hidden_bytes, bandwidth_gbps")
      ->required()
      ->type_name("FILE|-");
  command->callback([input] {
    const std::string source = core::input_name(*input);
    const std::string text = core::read_file(*input, kMaxInputBytes);
    fmt::print("{}\n", cost::to_json(cost::route_cost(cost::parse_route_cost(text, source), source)));
  });
}

}  // namespace ep::bench
