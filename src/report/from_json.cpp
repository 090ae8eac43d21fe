#include <array>
#include <charconv>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/json.hpp"
#include "core/parse.hpp"
#include "report/report.hpp"

namespace ep::report {
namespace {

using Json = nlohmann::ordered_json;
using measure::Row;

/// Null stands for a figure that was withheld or does not apply.
double number(const Json& json) {
  return json.is_null() ? 0.0 : json.get<double>();
}
std::optional<double> optional_number(const Json& json) {
  return json.is_null() ? std::nullopt : std::optional(json.get<double>());
}

/// The library would turn any number into an integer, 1e300 too.
template <class Integer>
Integer whole(const Json& json) {
  const bool fits = json.is_number_integer() && std::in_range<Integer>(json.get<std::int64_t>());
  if (!fits) throw std::runtime_error(fmt::format("{} is no whole number in range", json.dump()));
  return json.get<Integer>();
}
int integer(const Json& json) {
  return whole<int>(json);
}
std::int64_t count(const Json& json) {
  return whole<std::int64_t>(json);
}

template <class T, class Read>
std::vector<T> list(const Json& json, Read read) {
  std::vector<T> result;
  if (json.is_null()) return result;
  for (const Json& element : json) result.push_back(read(element));
  return result;
}

measure::Value read_value(const Json& json) {
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_integer()) return count(json);
  if (json.is_number()) return json.get<double>();
  return json.get<std::string>();
}

measure::Values read_values(const Json& json) {
  measure::Values values;
  for (const auto& [name, value] : json.items()) values.emplace_back(name, read_value(value));
  return values;
}

void read_provenance(Json json, measure::Report& report) {
  if (const Json& value = json.at("routing_hash"); !value.is_null()) {
    const auto hash = value.get<std::string>();
    std::from_chars(hash.data(), hash.data() + hash.size(), report.routing_hash, 16);
  }
  const Json& skew = json.at("routing_skew");
  report.skew = {.hottest_expert_over_mean = number(skew.at("hottest_expert_over_mean")),
                 .hottest_rank_over_mean = number(skew.at("hottest_rank_over_mean")),
                 .entropy_over_log2_experts = number(skew.at("entropy_over_log2_experts")),
                 .distinct_ranks_per_token = number(skew.at("distinct_ranks_per_token"))};
  json.erase("routing_hash");
  json.erase("routing_skew");
  report.provenance = read_values(json);
}

measure::Bottleneck read_bottleneck(const Json& json) {
  if (json.is_null()) return {};
  const Json& rank = json.at("rank");
  return {.resource = json.at("resource"),
          .rank = rank.is_null() ? -1 : integer(rank),
          .utilisation = number(json.at("utilisation")),
          .step = json.at("step")};
}

/// Reports from before there was one have none.
measure::Waterfall read_waterfall(const Json& row) {
  const auto found = row.find("waterfall");
  if (found == row.end()) return {};
  return {.latency_us = number(found->at("latency_us")),
          .compute_us = number(found->at("compute_us")),
          .transfer_us = number(found->at("transfer_us")),
          .skew_us = number(found->at("skew_us")),
          .contention_us = number(found->at("contention_us")),
          .lateness_us = number(found->at("lateness_us"))};
}

measure::Suspect read_suspect(const Json& json) {
  return {.resource = json.at("resource"),
          .index = integer(json.at("index")),
          .host = json.at("host"),
          .slowdown = number(json.at("slowdown")),
          .waited_share = optional_number(json.at("waited_share"))};
}

plan::ByteCounts read_bytes(const Json& json) {
  return {.useful = count(json.at("useful")),
          .logical_rank = count(json.at("logical_rank")),
          .logical_node = count(json.at("logical_node")),
          .wire_rank = count(json.at("wire_rank")),
          .wire_node = count(json.at("wire_node")),
          .metadata = count(json.at("metadata"))};
}

measure::RankResult read_rank(const Json& json) {
  return {.rank = integer(json.at("rank")),
          .host = json.at("host"),
          .lateness_us = number(json.at("lateness_us")),
          .exposed_us = optional_number(json.at("exposed_us")),
          .overlap_efficiency = optional_number(json.at("overlap_efficiency")),
          .compute_interference = optional_number(json.at("compute_interference")),
          .iteration_us = number(json.at("iteration_us"))};
}

measure::StepResult read_step(const Json& json) {
  const Json& bytes = json.at("bytes");
  return {.id = integer(json.at("id")),
          .name = json.at("name"),
          .kind = json.at("kind"),
          .stream = json.at("stream"),
          .resource = json.at("resource"),
          .start_us = number(json.at("start_us")),
          .measured_us = number(json.at("measured_us")),
          .predicted_us = number(json.at("predicted_us")),
          .predicted_alone_us = number(json.at("predicted_alone_us")),
          .bytes = bytes.is_null() ? std::nullopt : std::optional(count(bytes)),
          .waits = list<int>(json.at("waits"), integer)};
}

schedule::Lane read_lane(const std::string& name) {
  for (const auto lane : std::array{schedule::Lane::host, schedule::Lane::compute, schedule::Lane::comm})
    if (name == schedule::name_of(lane)) return lane;
  throw std::runtime_error("no stream is called '" + name + "'");
}

schedule::Span read_span(const Json& json) {
  return {.rank = integer(json.at("rank")),
          .lane = read_lane(json.at("stream")),
          .op = integer(json.at("step")),
          .start_us = number(json.at("start_us")),
          .end_us = number(json.at("end_us"))};
}

void read_times(const Json& json, Row& row) {
  row.median_us = number(json.at("median_us"));
  row.p95_us = number(json.at("p95_us"));
  row.max_us = number(json.at("max_us"));
  row.ci_low_us = optional_number(json.at("ci_low_us"));
  row.ci_high_us = optional_number(json.at("ci_high_us"));
  row.predicted_us = number(json.at("predicted_us"));
  row.route_cost_ms = number(json.at("route_cost_ms"));
  row.exposed_us = optional_number(json.at("exposed_us"));
  row.overlap_efficiency = optional_number(json.at("overlap_efficiency"));
  row.compute_interference = optional_number(json.at("compute_interference"));
  row.launch_medians_us = list<double>(json.at("launch_medians_us"), number);
}

Row read_row(const Json& json) {
  Row row;
  json.at("status").get_to(row.status);
  json.at("strategy").get_to(row.strategy);
  json.at("direction").get_to(row.direction);
  json.at("device").get_to(row.device);
  json.at("exchange").get_to(row.exchange);
  json.at("algorithm").get_to(row.algorithm);
  row.ranks = integer(json.at("ranks"));
  row.nodes = integer(json.at("nodes"));
  row.tokens = count(json.at("tokens"));
  json.at("routing").get_to(row.routing);
  json.at("placement").get_to(row.placement);
  row.launches = integer(json.at("launches"));
  row.iterations = integer(json.at("iterations"));
  json.at("converged").get_to(row.converged);
  read_times(json, row);
  row.bottleneck = read_bottleneck(json.at("bottleneck"));
  row.runner_up = read_bottleneck(json.at("runner_up"));
  row.waterfall = read_waterfall(json);
  row.suspects = list<measure::Suspect>(json.at("suspects"), read_suspect);
  row.dispatch_bytes = read_bytes(json.at("bytes").at("dispatch"));
  row.combine_bytes = read_bytes(json.at("bytes").at("combine"));
  row.per_rank = list<measure::RankResult>(json.at("per_rank"), read_rank);
  row.steps = list<measure::StepResult>(json.at("steps"), read_step);
  if (const Json& check = json.at("check"); !check.is_null())
    row.check = {.passed = check.at("passed"),
                 .max_relative_error = number(check.at("max_relative_error")),
                 .tokens_checked = count(check.at("tokens_checked"))};
  row.measured_spans = list<schedule::Span>(json.at("timeline").at("measured"), read_span);
  row.predicted_spans = list<schedule::Span>(json.at("timeline").at("predicted"), read_span);
  return row;
}

/// Reports from before there was a choice have none.
std::optional<measure::Choice> read_choice(const Json& report) {
  const auto found = report.find("choice");
  if (found == report.end() || found->is_null()) return std::nullopt;
  measure::Choice choice;
  found->at("strategy").get_to(choice.strategy);
  choice.candidates = list<measure::Candidate>(found->at("candidates"), [](const Json& candidate) {
    return measure::Candidate{candidate.at("strategy"), number(candidate.at("predicted_us")),
                              number(candidate.at("compute_us"))};
  });
  return choice;
}

measure::Report read_report(const Json& json) {
  measure::Report report;
  json.at("emulated").get_to(report.emulated);
  read_provenance(json.at("provenance"), report);
  report.config = read_values(json.at("config"));
  const Json& clock = json.at("clock");
  if (!clock.at("source").is_null()) clock.at("source").get_to(report.clock_source);
  report.clock_uncertainty_us = number(clock.at("uncertainty_us"));
  report.rows = list<Row>(json.at("rows"), read_row);
  report.choice = read_choice(json);
  json.at("notes").get_to(report.notes);
  return report;
}

}  // namespace

measure::Report from_json(std::string_view text, std::string_view source) {
  core::parse_json(std::string(text), source);  // strict, but sorts keys: options are shown in the order they came
  try {
    const Json json = Json::parse(text);
    if (const Json& version = json.at("schema_version"); version != 1)
      throw core::InputError(source, "schema_version", version.dump(), "this program reads version 1");
    return read_report(json);
  } catch (const core::Error&) {
    throw;
  } catch (const std::exception& error) {
    throw core::InputError(source, "report", "JSON", fmt::format("not a report of epbench ({})", error.what()));
  }
}

measure::Report read_file(const std::string& path) {
  constexpr std::int64_t kMostBytes = std::int64_t{1} << 30;
  return from_json(core::read_file(path, kMostBytes), path);
}

}  // namespace ep::report
