#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "bench/predict.hpp"
#include "bench/prediction.hpp"
#include "core/error.hpp"
#include "core/parse.hpp"
#include "device/host_memory.hpp"
#include "plan/expected.hpp"
#include "routing/routing.hpp"
#include "schedule/strategy.hpp"

namespace ep::bench {

namespace {

/// A job whose routing is made, or stands for itself by its expectation.
struct Source {
  placement::Placement placement;
  placement::Topology topology;
  std::optional<routing::Routing> routing;
  plan::ExpectedJob expected;

  [[nodiscard]] plan::Plan plan(int chunks) const {
    return routing ? plan::make_plan(*routing, placement, topology, chunks)
                   : plan::expected_plan(expected, placement, topology, chunks);
  }
  [[nodiscard]] std::int64_t tokens() const { return routing ? routing->tokens : expected.tokens; }
};

/// Making a routing takes time by tokens and experts, its matrices memory by ranks and experts.
bool is_quick(std::int64_t tokens, int experts, int ranks) {
  constexpr double kMostDraws = 1 << 25;
  constexpr double kMostCells = 1 << 21;
  const double cells = static_cast<double>(ranks) * std::max(ranks, experts);
  return static_cast<double>(tokens) * experts <= kMostDraws && cells <= kMostCells;
}

routing::RoutingShape routing_shape(const PredictedJob& job, const RunConfig& config, std::int64_t tokens,
                                    const placement::Placement& placement) {
  // `hot:FRACTION` sends that share to the experts of rank 0, as in a run.
  const auto hot = placement.experts_of(0);
  return {tokens, config.topk, config.experts, job.options.seed, {hot.begin(), hot.end()}};
}

/// Throws unless there is memory for the matrices of exact traffic, [ranks, ranks] and [ranks, experts] for each chunk
/// of a strategy, and for what the schedule makes of them: one for each exchange, being made beside another, and the
/// rows of local experts for each GEMM.
void require_traffic_memory(const PredictedJob& job, const RunConfig& config, const placement::Placement& placement) {
  constexpr double kGib = 1 << 30;
  const bool step = config.direction == schedule::Direction::step;
  const double exchanges = step ? 4 : 2;
  const double gemms = config.gradients() ? 6 : 2;
  int chunks = 1;
  for (const std::string& name : config.strategies) chunks = std::max(chunks, schedule::parse_strategy(name).chunks);
  const double of_a_chunk = (1 + exchanges) * job.ranks + placement.experts() + gemms * placement.max_local();
  const double bytes = (of_a_chunk * chunks + job.ranks) * job.ranks * static_cast<double>(sizeof(std::int64_t));
  const auto available = static_cast<double>(device::available_host_bytes());
  if (bytes <= available) return;
  throw core::InputError(
      "command line", "--ranks", fmt::format("{}", job.ranks),
      fmt::format("exact traffic of so many ranks and {} experts takes {:.1f} GiB of memory, {:.1f} GiB are free: "
                  "wanted fewer{}",
                  placement.experts(), bytes / kGib, available / kGib,
                  routing::is_file(job.options.routing) ? "" : ", or --traffic expected"));
}

Source from_file(const PredictedJob& job, const RunConfig& config, std::int64_t tokens) {
  const RunOptions& options = job.options;
  routing::Routing routing = routing::load(options.routing, tokens, config.topk, config.experts, options.seed);
  placement::Placement placement = placement::make_placement(options.placement, routing.experts, job.ranks);
  require_traffic_memory(job, config, placement);
  return {std::move(placement), placement::block_topology(job.ranks, job.ranks_per_node), std::move(routing), {}};
}

/// Distinct ranks and nodes of a token are means over a sample, which is the beginning of the very routing.
void sample_destinations(const PredictedJob& job, const RunConfig& config, Source& source, measure::Report& report) {
  constexpr std::int64_t kDraws = 1 << 22;
  constexpr std::int64_t kLeast = 64;
  const std::int64_t sample = std::min(source.expected.tokens, std::max(kLeast, kDraws / config.experts));
  const routing::Routing routing =
      routing::generate(job.options.routing, routing_shape(job, config, sample, source.placement));
  const auto ranks = source.placement.expert_ranks();
  std::vector<std::int32_t> nodes;
  for (const std::int32_t rank : ranks) nodes.push_back(source.topology.node_of_rank[static_cast<std::size_t>(rank)]);
  report.skew = routing::skew_of(routing, ranks, job.ranks);
  source.expected.ranks_per_token = report.skew.distinct_ranks_per_token;
  source.expected.nodes_per_token = routing::skew_of(routing, nodes, source.topology.nodes).distinct_ranks_per_token;
}

/// What skew_of says of a routing, of its expectation.
void set_skew(const Source& source, measure::Report& report) {
  const std::vector<double>& copies = source.expected.copies_per_token;
  const double topk = source.expected.topk;
  std::vector<double> ranks(static_cast<std::size_t>(source.placement.ranks()));
  double entropy = 0;
  for (std::size_t expert = 0; expert < copies.size(); ++expert) {
    ranks[static_cast<std::size_t>(source.placement.rank_of(static_cast<int>(expert)))] += copies[expert];
    if (copies[expert] > 0) entropy -= copies[expert] / topk * std::log(copies[expert] / topk);
  }
  const auto hottest = [&](const std::vector<double>& loads) {
    return *std::max_element(loads.begin(), loads.end()) * static_cast<double>(loads.size()) / topk;
  };
  report.skew.hottest_expert_over_mean = hottest(copies);
  report.skew.hottest_rank_over_mean = hottest(ranks);
  report.skew.entropy_over_log2_experts =
      copies.size() > 1 ? entropy / std::log(static_cast<double>(copies.size())) : 1;
}

Source make_source(const PredictedJob& job, const RunConfig& config, measure::Report& report) {
  const RunOptions& options = job.options;
  const std::int64_t tokens = core::checked_product(config.tokens_per_rank, job.ranks, "--tokens * ranks");
  if (routing::is_file(options.routing)) {
    if (job.traffic == Traffic::expected) {
      throw core::InputError("command line", "--traffic", "expected", "a routing file has no expectation");
    }
    return from_file(job, config, tokens);
  }
  Source source{placement::make_placement(options.placement, config.experts, job.ranks),
                placement::block_topology(job.ranks, job.ranks_per_node),
                {},
                {tokens, config.topk, {}, 0, 0}};
  const bool exact = job.traffic == Traffic::exact ||
                     (job.traffic == Traffic::automatic && is_quick(tokens, config.experts, job.ranks));
  const routing::RoutingShape shape = routing_shape(job, config, tokens, source.placement);
  if (exact) {
    require_traffic_memory(job, config, source.placement);
    source.routing = routing::generate(options.routing, shape);
  } else {
    source.expected.copies_per_token = routing::expected_copies(options.routing, shape);
    sample_destinations(job, config, source, report);
    set_skew(source, report);
  }
  return source;
}

measure::Row make_row(const PredictedJob& job, const Source& source) {
  measure::Row row;
  row.status = "predicted";
  row.ranks = job.ranks;
  row.tokens = source.tokens();
  row.routing = job.options.routing;
  row.placement = job.options.placement;
  row.launches = 0;
  return row;
}

}  // namespace

void predict_job(const PredictedJob& job, const cluster::Cluster& cluster, measure::Report& report) {
  constexpr int kMostDrawnRanks = 256;
  const RunConfig config = resolve(job.options);
  const Source source = make_source(job, config, report);
  if (source.routing) {
    report.skew = routing::skew_of(*source.routing, source.placement.expert_ranks(), job.ranks);
    report.routing_hash = routing::hash(*source.routing);
  } else {
    const std::string note = fmt::format(
        "{} expected traffic: chance unevenness, below a percent for thousands of rows a rank, is not in it",
        job.traffic == Traffic::expected ? "all jobs have" : "jobs too large to route have");
    if (std::find(report.notes.begin(), report.notes.end(), note) == report.notes.end()) report.notes.push_back(note);
  }
  const cost::Machine machine = cluster::to_machine(cluster, source.topology);
  for (const std::string& name : config.strategies) {
    const schedule::Strategy strategy = schedule::parse_strategy(name);
    const plan::Plan plan = source.plan(strategy.chunks);
    measure::Row row = make_row(job, source);
    add_prediction(row, {schedule::build(strategy, plan, config.shape, config.direction), plan, config.shape, machine});
    if (job.ranks > kMostDrawnRanks) row.predicted_spans.clear();
    report.rows.push_back(std::move(row));
  }
}

}  // namespace ep::bench
