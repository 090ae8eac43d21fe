#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

#include "exchange/exchange.hpp"
#include "measure/result.hpp"
#include "plan/plan.hpp"
#include "routing/routing.hpp"
#include "schedule/schedule.hpp"

namespace ep::bench {

/// What `epbench run` was asked to do. The initial values are the defaults that --help and the README show.
struct RunOptions {
  // The layer.
  std::string tokens = "512";  // per rank; for a routing file without --tokens: all it has
  std::string hidden = "1024";
  std::string ffn = "128";
  std::string shared_ffn = "256";
  int experts = 32;
  int topk = 4;
  std::string dispatch_dtype = "bf16";
  std::string combine_dtype = "bf16";
  // Who goes where.
  std::string routing = "lognormal:0.45";
  std::string placement = "block";
  std::uint64_t seed = 1;
  // What to compare.
  std::string strategy = "sequential,overlapped";
  std::string direction = "forward";
  // Where it runs.
  std::string device = "auto";
  std::string exchange = "auto";
  std::string algorithm = "windowed";
  std::string window_in_node = "direct";  // or FRAGMENT[xIN_FLIGHT]; exchange::MpiOptions says why these
  std::string window_between_nodes = "63Kx1";
  std::string mpi_buffers = "auto";
  int threads = 0;
  std::string plan = "exchanged";
  int nccl_ctas = 0;
  bool register_buffers = false;
  int gemm_sms = 0;
  bool cuda_graph = false;
  // How it is measured.
  int warmup = 3;
  int iterations = 30;
  double time_limit_s = 10;
  int check = 16;
  double timeout_s = 120;
  int launches = 1;
  // What it leaves.
  std::string json;
  std::string csv;
  std::string trace;
  double fail_above = 0;  // 0: never
  std::string cluster;    // empty: calibrate

  bool executed = true;  // false: only predicted, so that payloads no device computes in will do
  bool tokens_given = false;
  bool experts_given = false;
  bool topk_given = false;
};

/// Declares every option of `run` on `command`, bound to `options`.
void declare(CLI::App& command, RunOptions& options);

// The groups of them that other subcommands share.
void declare_layer(CLI::App& command, RunOptions& options);
void declare_routing(CLI::App& command, RunOptions& options);
void declare_strategy(CLI::App& command, RunOptions& options);
void declare_back_end(CLI::App& command, RunOptions& options);
void declare_output(CLI::App& command, RunOptions& options);

/// The parts of a comma-separated list, empty ones too.
std::vector<std::string> split(std::string_view list, char separator);

/// The options as values: parsed, in range, consistent. Throws InputError naming the option and the value.
struct RunConfig {
  plan::LayerShape shape;
  std::int64_t tokens_per_rank = 0;  // 0: whatever the file has
  int experts = 0;                   // 0: whatever the file has
  int topk = 0;
  std::vector<std::string> strategies;
  schedule::Direction direction = schedule::Direction::forward;
  bool choose_strategy = false;  // `auto`: one more, the model's choice
  exchange::MpiOptions mpi;
  bool counts_known = false;  // from the plan: no count exchange
  [[nodiscard]] bool gradients() const { return direction != schedule::Direction::forward; }
};
RunConfig resolve(const RunOptions& options);

/// Every option in force by its flag's name, for the report and for comparing ranks.
measure::Values values_of(const RunOptions& options);

/// The same with what a routing file decided: its tokens, experts and top-k.
measure::Values values_of(const RunOptions& options, const routing::Routing& routing);

}  // namespace ep::bench
