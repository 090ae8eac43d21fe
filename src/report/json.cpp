#include <cmath>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "report/report.hpp"
#include "report/totals.hpp"

namespace ep::report {
namespace {

using Json = nlohmann::ordered_json;
using measure::Row;

Json rounded(std::optional<double> value, double steps_per_unit) {
  if (!value || !std::isfinite(*value)) return nullptr;
  return std::round(*value * steps_per_unit) / steps_per_unit;
}

// More digits than these would be noise.
Json time_us(std::optional<double> value) {
  return rounded(value, 1e3);
}
Json ratio(std::optional<double> value) {
  return rounded(value, 1e6);
}

/// Measured figures of a row: null unless the row's results were checked and right.
class Measured {
 public:
  explicit Measured(const Row& row) : trusted_(measure::trusted(row)) {}
  [[nodiscard]] Json us(std::optional<double> value) const { return trusted_ ? time_us(value) : Json(nullptr); }
  [[nodiscard]] Json ratio_of(std::optional<double> value) const { return trusted_ ? ratio(value) : Json(nullptr); }
  explicit operator bool() const { return trusted_; }

 private:
  bool trusted_;
};

Json values_json(const measure::Values& values) {
  Json result = Json::object();
  for (const auto& [name, value] : values)
    std::visit([&, &key = name](const auto& typed) { result[key] = typed; }, value);
  return result;
}

Json provenance_json(const measure::Report& report) {
  Json result = values_json(report.provenance);
  result["routing_hash"] = report.routing_hash == 0 ? Json(nullptr) : Json(fmt::format("{:016x}", report.routing_hash));
  result["routing_skew"] = {{"hottest_expert_over_mean", ratio(report.skew.hottest_expert_over_mean)},
                            {"hottest_rank_over_mean", ratio(report.skew.hottest_rank_over_mean)},
                            {"entropy_over_log2_experts", ratio(report.skew.entropy_over_log2_experts)},
                            {"distinct_ranks_per_token", ratio(report.skew.distinct_ranks_per_token)}};
  return result;
}

Json bottleneck_json(const measure::Bottleneck& bottleneck) {
  if (bottleneck.resource.empty()) return nullptr;
  return {{"resource", bottleneck.resource},
          {"rank", bottleneck.rank < 0 ? Json(nullptr) : Json(bottleneck.rank)},
          {"utilisation", ratio(bottleneck.utilisation)},
          {"step", bottleneck.step}};
}

/// The rest is taken from the rounded terms, so that these sum to the median exactly.
Json waterfall_json(const Row& row, const Measured& measured) {
  const measure::Waterfall& w = row.waterfall;
  Json result = {{"latency_us", time_us(w.latency_us)},
                 {"compute_us", time_us(w.compute_us)},
                 {"transfer_us", time_us(w.transfer_us)},
                 {"skew_us", time_us(w.skew_us)},
                 {"contention_us", time_us(w.contention_us)},
                 {"lateness_us", measured.us(w.lateness_us)},
                 {"unexplained_us", nullptr}};
  if (!measured) return result;
  double rest_us = time_us(row.median_us).get<double>();
  for (const Json& part : result) rest_us -= part.is_null() ? 0 : part.get<double>();
  result["unexplained_us"] = time_us(rest_us);
  return result;
}

Json suspects_json(const Row& row) {
  Json result = Json::array();
  if (!measure::trusted(row)) return result;
  for (const measure::Suspect& suspect : row.suspects)
    result.push_back({{"resource", suspect.resource},
                      {"index", suspect.index},
                      {"host", suspect.host},
                      {"slowdown", ratio(suspect.slowdown)},
                      {"waited_share", ratio(suspect.waited_share)}});
  return result;
}

Json bytes_json(const plan::ByteCounts& bytes) {
  return {{"useful", bytes.useful},       {"logical_rank", bytes.logical_rank}, {"logical_node", bytes.logical_node},
          {"wire_rank", bytes.wire_rank}, {"wire_node", bytes.wire_node},       {"metadata", bytes.metadata}};
}

Json ranks_json(const Row& row, const Measured& measured) {
  Json result = Json::array();
  for (const measure::RankResult& rank : row.per_rank)
    result.push_back({{"rank", rank.rank},
                      {"host", rank.host},
                      {"lateness_us", measured.us(rank.lateness_us)},
                      {"exposed_us", measured.us(rank.exposed_us)},
                      {"overlap_efficiency", measured.ratio_of(rank.overlap_efficiency)},
                      {"compute_interference", measured.ratio_of(rank.compute_interference)},
                      {"iteration_us", measured.us(rank.iteration_us)}});
  return result;
}

Json steps_json(const Row& row, const Measured& measured) {
  Json result = Json::array();
  for (const measure::StepResult& step : row.steps)
    result.push_back({{"id", step.id},
                      {"name", step.name},
                      {"kind", step.kind},
                      {"stream", step.stream},
                      {"resource", step.resource},
                      {"start_us", measured.us(step.start_us)},
                      {"measured_us", measured.us(step.measured_us)},
                      {"predicted_us", time_us(step.predicted_us)},
                      {"predicted_alone_us", time_us(step.predicted_alone_us)},
                      {"bytes", step.bytes ? Json(*step.bytes) : Json(nullptr)},
                      {"waits", step.waits}});
  return result;
}

Json check_json(const Row& row) {
  if (row.status == "predicted") return nullptr;
  return {{"passed", row.check.passed},
          {"max_relative_error", rounded(row.check.max_relative_error, 1e12)},
          {"tokens_checked", row.check.tokens_checked}};
}

Json spans_json(const std::vector<schedule::Span>& spans) {
  if (spans.empty()) return nullptr;
  Json result = Json::array();
  for (const schedule::Span& span : spans)
    result.push_back({{"rank", span.rank},
                      {"stream", schedule::name_of(span.lane)},
                      {"step", span.op},
                      {"start_us", time_us(span.start_us)},
                      {"end_us", time_us(span.end_us)}});
  return result;
}

Json launches_json(const Row& row, const Measured& measured) {
  if (!measured) return nullptr;
  Json result = Json::array();
  for (const double median : row.launch_medians_us) result.push_back(time_us(median));
  return result;
}

void add_times(Json& json, const Row& row, const Measured& measured) {
  json["median_us"] = measured.us(row.median_us);
  json["p95_us"] = measured.us(row.p95_us);
  json["max_us"] = measured.us(row.max_us);
  json["ci_low_us"] = measured.us(row.ci_low_us);
  json["ci_high_us"] = measured.us(row.ci_high_us);
  json["predicted_us"] = time_us(row.predicted_us);
  json["error_percent"] = measured.ratio_of(measure::error_percent(row.predicted_us, row.median_us));
  json["route_cost_ms"] = rounded(row.route_cost_ms, 1e4);
}

Json row_json(const Row& row) {
  const Measured measured(row);
  Json json = {{"status", measure::status_of(row)},
               {"strategy", row.strategy},
               {"direction", row.direction},
               {"device", row.device},
               {"exchange", row.exchange},
               {"algorithm", row.algorithm},
               {"ranks", row.ranks},
               {"nodes", row.nodes},
               {"tokens", row.tokens},
               {"routing", row.routing},
               {"placement", row.placement},
               {"launches", row.launches},
               {"iterations", row.iterations},
               {"converged", row.converged}};
  add_times(json, row, measured);
  json["bottleneck"] = bottleneck_json(row.bottleneck);
  json["runner_up"] = bottleneck_json(row.runner_up);
  json["waterfall"] = waterfall_json(row, measured);
  json["suspects"] = suspects_json(row);
  json["bytes"] = {{"dispatch", bytes_json(row.dispatch_bytes)}, {"combine", bytes_json(row.combine_bytes)}};
  json["exposed_us"] = measured.us(row.exposed_us);
  json["overlap_efficiency"] = measured.ratio_of(row.overlap_efficiency);
  json["compute_interference"] = measured.ratio_of(row.compute_interference);
  json["per_rank"] = ranks_json(row, measured);
  json["steps"] = steps_json(row, measured);
  json["check"] = check_json(row);
  json["launch_medians_us"] = launches_json(row, measured);
  json["timeline"] = {{"measured", measured ? spans_json(row.measured_spans) : Json(nullptr)},
                      {"predicted", spans_json(row.predicted_spans)}};
  return json;
}

Json choice_json(const measure::Report& report) {
  if (!report.choice) return nullptr;
  Json candidates = Json::array();
  for (const measure::Candidate& candidate : report.choice->candidates)
    candidates.push_back({{"strategy", candidate.strategy},
                          {"predicted_us", time_us(candidate.predicted_us)},
                          {"compute_us", time_us(candidate.compute_us)}});
  const auto result = choice_result(report);
  return {{"strategy", report.choice->strategy},
          {"candidates", std::move(candidates)},
          {"fastest_measured", result ? Json(result->fastest->strategy) : Json(nullptr)},
          {"above_fastest_percent", result ? ratio(result->above_percent()) : Json(nullptr)}};
}

}  // namespace

std::string json(const measure::Report& report) {
  Json document = {{"schema_version", 1}, {"emulated", report.emulated}};
  document["provenance"] = provenance_json(report);
  document["config"] = values_json(report.config);
  const bool clocked = !report.clock_source.empty();
  document["clock"] = {{"source", clocked ? Json(report.clock_source) : Json(nullptr)},
                       {"uncertainty_us", clocked ? time_us(report.clock_uncertainty_us) : Json(nullptr)}};
  document["rows"] = Json::array();
  for (const Row& row : report.rows) document["rows"].push_back(row_json(row));
  document["choice"] = choice_json(report);
  document["notes"] = report.notes;
  return document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace ep::report
