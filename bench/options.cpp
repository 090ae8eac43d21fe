#include "bench/options.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "core/error.hpp"
#include "core/parse.hpp"
#include "routing/routing.hpp"
#include "schedule/strategy.hpp"

namespace ep::bench {

namespace {

constexpr std::string_view kCommandLine = "command line";

void require(bool holds, std::string_view field, std::string_view value, std::string_view wanted) {
  if (!holds) throw core::InputError(kCommandLine, field, value, wanted);
}

int parse_int(std::string_view word, std::string_view field, int least) {
  const std::int64_t value = core::parse_size(word, field);
  require(value >= least && value <= std::numeric_limits<int>::max(), field, word,
          fmt::format("wanted at least {}, at most 2147483647", least));
  return static_cast<int>(value);
}

/// "64K" or "64Kx2": fragment size, and how many are in flight.
exchange::Window parse_window(std::string_view word, std::string_view field, exchange::Window defaults) {
  const std::vector<std::string> parts = split(word, 'x');
  const bool whole = std::none_of(parts.begin(), parts.end(), [](const std::string& part) { return part.empty(); });
  require(parts.size() <= 2 && whole, field, word, "wanted FRAGMENT or FRAGMENTxIN_FLIGHT");
  defaults.fragment_bytes = core::parse_size(parts[0], field);
  if (parts.size() == 2) defaults.in_flight = parse_int(parts[1], field, 0);
  return defaults;
}

std::vector<std::string> all_strategies(bool gradients) {
  if (!gradients) return {"sequential", "overlapped", "chunked:2", "chunked:4", "two-batch"};
  return {"sequential", "overlapped",         "overlapped+defer-dw", "chunked:2",
          "chunked:4",  "chunked:4+defer-dw", "two-batch",           "two-batch+defer-dw"};
}

plan::LayerShape parse_shape(const RunOptions& options) {
  plan::LayerShape shape;
  shape.hidden = parse_int(options.hidden, "--hidden", 1);
  shape.ffn = parse_int(options.ffn, "--ffn", 1);
  shape.shared_ffn = parse_int(options.shared_ffn, "--shared-ffn", 0);
  shape.dispatch_dtype = core::parse_dtype(options.dispatch_dtype, "--dispatch-dtype");
  shape.combine_dtype = core::parse_dtype(options.combine_dtype, "--combine-dtype");
  require(!options.executed || shape.combine_dtype != core::DType::e4m3, "--combine-dtype",
          core::name_of(shape.combine_dtype), "wanted fp32 or bf16");
  return shape;
}

void declare_measuring(CLI::App& command, RunOptions& o) {
  const std::string measuring = "Measuring";
  command.add_option("-w,--warmup", o.warmup, "iterations before measuring")->group(measuring);
  command.add_option("-n,--iterations", o.iterations, "least iterations; goes on until the median is known to 2 %")
      ->group(measuring);
  command.add_option("--time-limit", o.time_limit_s, "seconds after which measuring stops unconverged")
      ->group(measuring);
  command.add_option("-c,--check", o.check, "tokens a rank compared with the double-precision reference")
      ->group(measuring);
  command.add_option("--launches", o.launches, "starts the whole job this often and reports medians over launches")
      ->group(measuring);
  command
      .add_option("--fail-above", o.fail_above,
                  "exit code 7 when anything takes more than this many times its prediction; 0: never")
      ->group(measuring);
  command.add_option("--cluster", o.cluster, "predict with this cluster file; without: with what is calibrated first")
      ->group(measuring);
}

/// `all` and `auto` may stand beside other strategies.
void resolve_strategies(const RunOptions& options, RunConfig& config) {
  for (const std::string& word : split(options.strategy, ',')) {
    if (word == "auto") {
      require(options.executed, "--strategy", word, "wanted names or all: a prediction shows the best by itself");
      config.choose_strategy = true;
      continue;
    }
    for (const std::string& name : word == "all" ? all_strategies(config.gradients()) : std::vector{word}) {
      require(!schedule::parse_strategy(name).defer_dw || config.gradients(), "--strategy", name,
              "wanted --direction backward or step with it: a forward pass has no weight gradients");
      config.strategies.push_back(name);
    }
  }
}

}  // namespace

std::vector<std::string> split(std::string_view list, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t end = list.find(separator);
    parts.emplace_back(list.substr(0, end));
    if (end == std::string_view::npos) return parts;
    list.remove_prefix(end + 1);
  }
}

void declare_layer(CLI::App& command, RunOptions& o) {
  const std::string layer = "Layer";
  command
      .add_option("--tokens", o.tokens, "tokens per rank; the first N*R of a routing file (K, M, G: powers of 1024)")
      ->group(layer)
      ->each([&o](const std::string&) { o.tokens_given = true; });
  command.add_option("--hidden", o.hidden, "elements of a token's hidden state")->group(layer);
  command.add_option("--ffn", o.ffn, "width of one expert")->group(layer);
  command.add_option("--shared-ffn", o.shared_ffn, "width of the shared expert, the independent compute; 0: none")
      ->group(layer);
  command.add_option("--experts", o.experts, "experts of the layer")->group(layer)->each([&o](const std::string&) {
    o.experts_given = true;
  });
  command.add_option("--topk", o.topk, "experts of each token")->group(layer)->each([&o](const std::string&) {
    o.topk_given = true;
  });
  command.add_option("--dispatch-dtype", o.dispatch_dtype, "payload to the experts: fp32, bf16, fp8")->group(layer);
  command.add_option("--combine-dtype", o.combine_dtype, "payload back: fp32, bf16")->group(layer);
}

void declare_routing(CLI::App& command, RunOptions& o) {
  const std::string routing = "Routing";
  command
      .add_option("--routing", o.routing,
                  "uniform, lognormal:SIGMA[,hot=N*FACTOR][,sticky=P], zipf:S, hot:FRACTION, stride, FILE.npy[:LAYER] "
                  "or FILE.jsonl")
      ->group(routing);
  command.add_option("--placement", o.placement, "expert to rank: block, round-robin or a JSON file")->group(routing);
  command.add_option("--seed", o.seed, "of routing, weights and tokens")->group(routing);
}

void declare_strategy(CLI::App& command, RunOptions& o) {
  command
      .add_option("--strategy", o.strategy,
                  "comma-separated: sequential, overlapped, chunked:N, two-batch, each with +defer-dw for weight "
                  "gradients after the combine they would delay; all; auto: the model's choice")
      ->group("Back end");
  command.add_option("--direction", o.direction, "forward, backward (after an untimed forward) or step (both)")
      ->group("Back end");
}

void declare_back_end(CLI::App& command, RunOptions& o) {
  const std::string where = "Back end";
  command.add_option("--device", o.device, "auto: cuda where every rank has a GPU; cpu, cuda")->group(where);
  command.add_option("--exchange", o.exchange, "auto: nccl where every rank has a GPU of its own; mpi, nccl")
      ->group(where);
  command.add_option("--exchange-algorithm", o.algorithm, "windowed, ialltoallv")->group(where);
  command
      .add_option("--window-in-node", o.window_in_node,
                  "windowed, within a node: direct: cpu ranks copy from each other's memory; else messages of "
                  "FRAGMENT[xIN_FLIGHT], 0: whole, all")
      ->group(where);
  command
      .add_option("--window-between-nodes", o.window_between_nodes,
                  "windowed, between nodes: FRAGMENT[xIN_FLIGHT]; messages up to about 1 MiB: 16 shorter, from 16K")
      ->group(where);
  command
      .add_option("--mpi-buffers", o.mpi_buffers,
                  "GPU rows over MPI: device: MPI is given device memory; pinned: staged through host memory; auto: "
                  "device where every rank's MPI is CUDA-aware")
      ->group(where);
  command.add_option("--threads", o.threads, "compute threads a rank; 0: its cores")->group(where);
  command.add_option("--plan", o.plan, "exchanged: each iteration ranks exchange their counts; cached: all know")
      ->group(where);
  command.add_option("--nccl-ctas", o.nccl_ctas, "thread blocks, so SMs, that NCCL takes; 0: as it likes")
      ->group(where);
  command.add_flag("--register", o.register_buffers, "register the exchange's buffers with NCCL")->group(where);
  command.add_option("--gemm-sms", o.gemm_sms, "SMs that GEMMs take, leaving the others to NCCL; 0: all")->group(where);
  command.add_option("--timeout", o.timeout_s, "seconds after which a step that does not end ends the job; 0: never")
      ->group(where);
}

void declare_output(CLI::App& command, RunOptions& o) {
  const std::string output = "Output";
  command.add_option("--json", o.json, "write the full report to FILE")->group(output);
  command.add_option("--csv", o.csv, "write a line a strategy to FILE")->group(output);
  command.add_option("--trace", o.trace, "write a Perfetto timeline to FILE")->group(output);
}

void declare(CLI::App& command, RunOptions& o) {
  // The last one holds: a script's defaults can be overridden behind it.
  command.option_defaults()->always_capture_default()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  declare_layer(command, o);
  declare_routing(command, o);
  declare_strategy(command, o);
  declare_back_end(command, o);
  command
      .add_flag("--cuda-graph", o.cuda_graph, "launch each iteration as one CUDA graph; needs nccl and --plan cached")
      ->group("Back end");
  declare_measuring(command, o);
  declare_output(command, o);
}

RunConfig resolve(const RunOptions& o) {
  RunConfig config;
  config.shape = parse_shape(o);
  const bool file = routing::is_file(o.routing);
  config.tokens_per_rank = file && !o.tokens_given ? 0 : core::parse_size(o.tokens, "--tokens");
  require(file || config.tokens_per_rank > 0, "--tokens", o.tokens, "wanted at least 1");
  config.experts = file && !o.experts_given ? 0 : o.experts;
  config.topk = file && !o.topk_given ? 0 : o.topk;
  require(o.experts > 0, "--experts", std::to_string(o.experts), "wanted at least 1");
  require(o.topk > 0, "--topk", std::to_string(o.topk), "wanted at least 1");
  require(o.warmup >= 1, "--warmup", std::to_string(o.warmup), "wanted at least 1: it connects the ranks");
  require(o.iterations >= 1, "--iterations", std::to_string(o.iterations), "wanted at least 1");
  require(o.time_limit_s > 0 && std::isfinite(o.time_limit_s), "--time-limit", fmt::format("{}", o.time_limit_s),
          "wanted more than 0 seconds");
  require(o.check >= 1, "--check", std::to_string(o.check), "wanted at least 1: unchecked times are not printed");
  require(o.timeout_s >= 0 && std::isfinite(o.timeout_s), "--timeout", fmt::format("{}", o.timeout_s),
          "wanted 0 seconds or more");
  require(o.launches >= 1, "--launches", std::to_string(o.launches), "wanted at least 1");
  require(o.fail_above >= 0 && std::isfinite(o.fail_above), "--fail-above", fmt::format("{}", o.fail_above),
          "wanted a factor above 0; 0: never fail");
  require(o.threads >= 0, "--threads", std::to_string(o.threads), "wanted 0 or more");
  require(o.device == "auto" || o.device == "cpu" || o.device == "cuda", "--device", o.device,
          "wanted auto, cpu or cuda");
  require(o.exchange == "auto" || o.exchange == "mpi" || o.exchange == "nccl", "--exchange", o.exchange,
          "wanted auto, mpi or nccl");
  require(o.mpi_buffers == "auto" || o.mpi_buffers == "device" || o.mpi_buffers == "pinned", "--mpi-buffers",
          o.mpi_buffers, "wanted auto, device or pinned");
  config.direction = schedule::parse_direction(o.direction, "--direction");
  resolve_strategies(o, config);
  require(o.plan == "exchanged" || o.plan == "cached", "--plan", o.plan, "wanted exchanged or cached");
  config.counts_known = o.plan == "cached";
  require(o.nccl_ctas >= 0, "--nccl-ctas", std::to_string(o.nccl_ctas), "wanted 0 or more");
  require(o.gemm_sms >= 0, "--gemm-sms", std::to_string(o.gemm_sms), "wanted 0 or more");
  require(!o.cuda_graph || config.counts_known, "--cuda-graph", "with --plan exchanged",
          "wanted --plan cached: where counts are exchanged the host takes part in the middle of an iteration");
  config.mpi.algorithm = o.algorithm;
  require(o.algorithm == "windowed" || o.algorithm == "ialltoallv", "--exchange-algorithm", o.algorithm,
          "wanted windowed or ialltoallv");
  config.mpi.direct_in_node = o.window_in_node == "direct";
  require(config.mpi.direct_in_node || o.window_in_node.find_first_of("0123456789") == 0, "--window-in-node",
          o.window_in_node, "wanted direct, FRAGMENT or FRAGMENTxIN_FLIGHT");
  if (!config.mpi.direct_in_node)
    config.mpi.in_node = parse_window(o.window_in_node, "--window-in-node", config.mpi.in_node);
  config.mpi.between_nodes = parse_window(o.window_between_nodes, "--window-between-nodes", config.mpi.between_nodes);
  return config;
}

measure::Values values_of(const RunOptions& o) {
  const auto window = [](const exchange::Window& w) { return fmt::format("{}x{}", w.fragment_bytes, w.in_flight); };
  const RunConfig config = resolve(o);
  return {{"tokens", o.tokens},
          {"hidden", o.hidden},
          {"ffn", o.ffn},
          {"shared-ffn", o.shared_ffn},
          {"experts", std::int64_t{o.experts}},
          {"topk", std::int64_t{o.topk}},
          {"dispatch-dtype", o.dispatch_dtype},
          {"combine-dtype", o.combine_dtype},
          {"routing", o.routing},
          {"placement", o.placement},
          {"seed", fmt::format("{}", o.seed)},
          {"strategy", o.strategy},
          {"direction", o.direction},
          {"device", o.device},
          {"exchange", o.exchange},
          {"exchange-algorithm", o.algorithm},
          {"window-in-node", config.mpi.direct_in_node ? "direct" : window(config.mpi.in_node)},
          {"window-between-nodes", window(config.mpi.between_nodes)},
          {"mpi-buffers", o.mpi_buffers},
          {"threads", std::int64_t{o.threads}},
          {"plan", o.plan},
          {"nccl-ctas", std::int64_t{o.nccl_ctas}},
          {"register", o.register_buffers},
          {"gemm-sms", std::int64_t{o.gemm_sms}},
          {"cuda-graph", o.cuda_graph},
          {"warmup", std::int64_t{o.warmup}},
          {"iterations", std::int64_t{o.iterations}},
          {"time-limit", o.time_limit_s},
          {"check", std::int64_t{o.check}},
          {"timeout", o.timeout_s},
          {"launches", std::int64_t{o.launches}},
          {"fail-above", o.fail_above},
          {"cluster", o.cluster},
          {"json", o.json},
          {"csv", o.csv},
          {"trace", o.trace}};
}

measure::Values values_of(const RunOptions& o, const routing::Routing& routing) {
  measure::Values values = values_of(o);
  for (auto& [name, value] : values) {
    if (name == "experts") value = std::int64_t{routing.experts};
    if (name == "topk") value = std::int64_t{routing.topk};
    if (name == "tokens" && routing::is_file(o.routing) && !o.tokens_given) {
      value = fmt::format("all {} of the file", routing.tokens);
    }
  }
  return values;
}

}  // namespace ep::bench
