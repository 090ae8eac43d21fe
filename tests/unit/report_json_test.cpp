#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "report/report.hpp"
#include "report_sample.hpp"

namespace ep::report {
namespace {

using Json = nlohmann::ordered_json;
using test::odd_report;
using test::sample_report;
using testing::ElementsAre;
using testing::HasSubstr;

Json parsed(const measure::Report& report) {
  return Json::parse(json(report));
}

std::vector<std::string> keys(const Json& object) {
  std::vector<std::string> result;
  for (const auto& [key, value] : object.items()) result.push_back(key);
  return result;
}

TEST(ReportJson, KeysComeInTheDocumentedOrder) {
  const Json document = parsed(sample_report());
  EXPECT_THAT(keys(document),
              ElementsAre("schema_version", "emulated", "provenance", "config", "clock", "rows", "choice", "notes"));
  const Json& row = document["rows"][0];
  EXPECT_THAT(keys(row), ElementsAre("status", "strategy", "direction", "device", "exchange", "algorithm", "ranks",
                                     "nodes", "tokens", "routing", "placement", "launches", "iterations", "converged",
                                     "median_us", "p95_us", "max_us", "ci_low_us", "ci_high_us", "predicted_us",
                                     "error_percent", "route_cost_ms", "bottleneck", "runner_up", "waterfall",
                                     "suspects", "bytes", "exposed_us", "overlap_efficiency", "compute_interference",
                                     "per_rank", "steps", "check", "launch_medians_us", "timeline"));
  EXPECT_THAT(keys(row["bytes"]["dispatch"]),
              ElementsAre("useful", "logical_rank", "logical_node", "wire_rank", "wire_node", "metadata"));
  EXPECT_THAT(keys(row["steps"][0]), ElementsAre("id", "name", "kind", "stream", "resource", "start_us", "measured_us",
                                                 "predicted_us", "predicted_alone_us", "bytes", "waits"));
}

TEST(ReportJson, ChoiceIsHeldAgainstTheFastestMeasured) {
  measure::Report report = sample_report();
  const Json choice = parsed(report)["choice"];
  EXPECT_EQ(choice["strategy"], "sequential");
  EXPECT_EQ(choice["candidates"][1]["predicted_us"], 56990.0);
  EXPECT_EQ(choice["fastest_measured"], "overlapped");
  EXPECT_NEAR(choice["above_fastest_percent"].get<double>(), 100 * (57830.4 / 57210.8 - 1), 1e-6);
  report.rows[1].check.passed = false;  // what is wrong is not fast
  EXPECT_TRUE(parsed(report)["choice"]["fastest_measured"].is_null());
  report.choice.reset();
  EXPECT_TRUE(parsed(report)["choice"].is_null());
}

TEST(ReportJson, OlderReportsAreRead) {
  Json document = parsed(sample_report());
  document.erase("choice");
  document["rows"][0].erase("waterfall");
  const measure::Report old = from_json(document.dump(), "old");
  EXPECT_FALSE(old.choice);
  EXPECT_EQ(old.rows[0].waterfall.predicted_us(), 0);
}

TEST(ReportJson, WaterfallSumsToTheMeasuredTime) {
  const Json document = parsed(sample_report());
  for (const Json& row : document["rows"]) {
    double sum_us = 0;
    for (const Json& part : row["waterfall"]) sum_us += part.get<double>();
    EXPECT_NEAR(sum_us, row["median_us"].get<double>(), 0.01);
  }
  const Json predicted = parsed(odd_report())["rows"][4]["waterfall"];
  EXPECT_TRUE(predicted["lateness_us"].is_null());
  EXPECT_TRUE(predicted["unexplained_us"].is_null());
  EXPECT_GT(predicted["compute_us"], 0);
}

TEST(ReportJson, ValuesKeepTheirTypes) {
  const Json document = parsed(sample_report());
  EXPECT_EQ(document["schema_version"], 1);
  EXPECT_EQ(document["config"]["experts"], 8);
  EXPECT_EQ(document["config"]["check"], true);
  EXPECT_TRUE(document["config"]["time-limit"].is_number_float());
  EXPECT_EQ(document["provenance"]["routing_hash"], "05b1c0de2a9f3377");
  const Json& row = document["rows"][0];
  EXPECT_EQ(row["median_us"], 57830.4);
  EXPECT_NEAR(row["error_percent"].get<double>(), 100 * (56739.9 - 57830.4) / 57830.4, 1e-6);
  EXPECT_EQ(row["bytes"]["dispatch"]["wire_rank"], 2109440);
  EXPECT_EQ(row["converged"], true);
}

TEST(ReportJson, WhatDoesNotApplyIsNull) {
  measure::Report report = sample_report();
  report.rows[0].bottleneck = {};
  report.rows[0].check.max_relative_error = std::numeric_limits<double>::infinity();
  report.rows[0].measured_spans.clear();
  const Json row = parsed(report)["rows"][0];
  for (const char* key : {"exposed_us", "overlap_efficiency", "compute_interference", "bottleneck"})
    EXPECT_TRUE(row[key].is_null()) << key;
  EXPECT_TRUE(row["check"]["max_relative_error"].is_null());
  EXPECT_TRUE(row["timeline"]["measured"].is_null());
  EXPECT_TRUE(row["steps"][0]["bytes"].is_null());
  const Json empty = parsed({});
  EXPECT_TRUE(empty["clock"]["source"].is_null());
  EXPECT_EQ(empty["rows"], Json::array());
}

TEST(ReportJson, WrongOrUncheckedResultsCarryNoTime) {
  const Json rows = parsed(odd_report())["rows"];
  const char* statuses[] = {"ok", "ok", "wrong data", "unchecked", "predicted"};
  for (std::size_t i = 0; i < 5; ++i) {
    const Json& row = rows[i];
    const bool withheld = i >= 2;
    EXPECT_EQ(row["status"], statuses[i]);
    for (const char* key : {"median_us", "p95_us", "max_us", "ci_low_us", "ci_high_us", "error_percent"})
      EXPECT_EQ(row[key].is_null(), withheld) << statuses[i] << key;
    EXPECT_EQ(row["steps"][0]["measured_us"].is_null(), withheld);
    EXPECT_EQ(row["per_rank"][0]["lateness_us"].is_null(), withheld);
    EXPECT_EQ(row["timeline"]["measured"].is_null(), withheld);
    EXPECT_TRUE(row["predicted_us"].is_number());
  }
  EXPECT_TRUE(rows[4]["check"].is_null());
}

TEST(ReportJson, TextThatIsNoUtf8IsReplaced) {
  measure::Report report = sample_report();
  report.provenance.emplace_back("arguments", "--routing \xff.npy");
  EXPECT_NO_THROW(parsed(report));
}

TEST(FromJson, ReadsBackWhatWasWritten) {
  for (const measure::Report& report : {sample_report(), odd_report(), measure::Report{}}) {
    const std::string text = json(report);
    const measure::Report read = from_json(text, "out.json");
    EXPECT_EQ(json(read), text);
    EXPECT_EQ(table(read), table(report));
    EXPECT_EQ(trace(read), trace(report));
  }
}

TEST(FromJson, NamesTheFileItCannotRead) {
  const auto message = [](const std::string& text) -> std::string {
    try {
      from_json(text, "launch-3.json");
    } catch (const core::InputError& error) {
      return error.what();
    }
    return "nothing was thrown";
  };
  const std::string whole = json(sample_report());
  EXPECT_THAT(message(""), HasSubstr("launch-3.json"));
  EXPECT_THAT(message(whole.substr(0, whole.size() / 2)), HasSubstr("launch-3.json"));
  EXPECT_THAT(message("[1, 2]"), HasSubstr("launch-3.json"));
  EXPECT_THAT(message(R"({"schema_version": 2})"), HasSubstr("schema_version"));
  Json broken = Json::parse(whole);
  broken["rows"][0]["ranks"] = "two";
  EXPECT_THAT(message(broken.dump()), HasSubstr("launch-3.json"));
  for (const Json& number : {Json(1e300), Json(2.5), Json(3'000'000'000), Json(nullptr)}) {
    broken["rows"][0]["ranks"] = number;
    EXPECT_THAT(message(broken.dump()), HasSubstr("no whole number in range"));
  }
  EXPECT_THAT(message(std::string(100'000, '[')), HasSubstr("nested too deeply"));
  broken = Json::parse(whole);
  broken["rows"][0]["timeline"]["measured"][0]["stream"] = "gpu";
  EXPECT_THAT(message(broken.dump()), HasSubstr("gpu"));
}

}  // namespace
}  // namespace ep::report
