#include <algorithm>
#include <map>

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

std::vector<Json> events(const measure::Report& report, const std::string& phase) {
  std::vector<Json> result;
  const Json document = Json::parse(trace(report));
  for (const Json& event : document.at("traceEvents"))
    if (event.at("ph") == phase) result.push_back(event);
  return result;
}

using Thread = std::pair<int, int>;
Thread thread_of(const Json& event) {
  return {event.at("pid"), event.at("tid")};
}

std::map<Thread, std::string> thread_names(const measure::Report& report) {
  std::map<Thread, std::string> names;
  for (const Json& event : events(report, "M"))
    if (event.at("name") == "thread_name") names[thread_of(event)] = event.at("args").at("name");
  return names;
}

/// Slices of one thread that hold a point in time.
std::vector<std::string> slices_at(const std::vector<Json>& slices, const Thread& thread, double time_us) {
  std::vector<std::string> names;
  for (const Json& slice : slices) {
    const double start = slice.at("ts");
    if (thread_of(slice) == thread && start <= time_us && time_us <= start + slice.at("dur").get<double>())
      names.push_back(slice.at("name"));
  }
  return names;
}

TEST(Trace, MeasuredAndPredictedAreTheTwoProcesses) {
  std::map<int, std::string> processes;
  for (const Json& event : events(sample_report(), "M"))
    if (event.at("name") == "process_name") processes[event.at("pid")] = event.at("args").at("name");
  EXPECT_EQ(processes, (std::map<int, std::string>{{1, "measured"}, {2, "predicted"}}));
  EXPECT_NE(trace(odd_report()).find("measured (emulated)"), std::string::npos);
}

TEST(Trace, EveryLaneOfEveryRankIsANamedThread) {
  const auto names = thread_names(sample_report());
  std::vector<std::string> sorted;
  for (const auto& [thread, name] : names)
    if (thread.first == 1) sorted.push_back(name);
  EXPECT_THAT(sorted, testing::ElementsAre("strategy", "rank 0 host", "rank 0 compute", "rank 0 comm", "rank 1 host",
                                           "rank 1 compute", "rank 1 comm"));
  for (const Json& slice : events(sample_report(), "X")) EXPECT_TRUE(names.count(thread_of(slice))) << slice;
}

TEST(Trace, EverySpanIsASliceWithItsTwin) {
  const measure::Report report = sample_report();
  std::size_t steps = 0;
  for (const Json& slice : events(report, "X")) {
    EXPECT_GE(slice.at("dur").get<double>(), 0);
    if (slice.at("name") == "dispatch") {
      EXPECT_EQ(slice.at("args").at("bytes_all_ranks"), 2109440);
      EXPECT_GT(slice.at("args").at("predicted_us").get<double>(), 1000);
      EXPECT_GT(slice.at("args").at("measured_us").get<double>(), 1000);
    }
    steps += slice.at("args").contains("bound_by") ? 1U : 0U;
  }
  EXPECT_EQ(steps, 2U * 2U * (12U + 13U));  // processes x ranks x steps of both strategies
}

/// Which is how Perfetto has them: one of two slices that lie partly above each other is dropped.
TEST(Trace, SlicesLieInOrBesideEachOtherInWholeNanoseconds) {
  measure::Report report = sample_report();
  for (measure::Row& row : report.rows) {
    for (auto* spans : {&row.measured_spans, &row.predicted_spans}) {
      for (schedule::Span& span : *spans) {
        span.start_us *= 0.123456789;  // no whole nanoseconds
        span.end_us *= 0.123456789;
      }
    }
  }
  const auto cut = [](const Json& us) { return static_cast<std::int64_t>(us.get<double>() * 1e3); };
  std::map<Thread, std::vector<std::pair<std::int64_t, std::int64_t>>> open;
  std::vector<Json> slices = events(report, "X");
  std::stable_sort(slices.begin(), slices.end(), [&](const Json& a, const Json& b) {
    return std::pair(cut(a.at("ts")), -cut(a.at("dur"))) < std::pair(cut(b.at("ts")), -cut(b.at("dur")));
  });
  for (const Json& slice : slices) {
    auto& around = open[thread_of(slice)];
    const std::int64_t start = cut(slice.at("ts"));
    const std::int64_t end = start + cut(slice.at("dur"));
    while (!around.empty() && around.back().second <= start) around.pop_back();
    EXPECT_LE(end, around.empty() ? end : around.back().second) << slice;
    around.emplace_back(start, end);
  }
}

TEST(Trace, StrategiesFollowOneAnotherAtTheSameTimesInBothProcesses) {
  std::map<std::pair<int, std::string>, double> starts;
  for (const Json& slice : events(sample_report(), "X"))
    if (slice.at("tid") == 10) starts[{slice.at("pid"), slice.at("name")}] = slice.at("ts");
  EXPECT_NEAR((starts[{1, "sequential forward"}]), 0, 1e-3);
  EXPECT_GT((starts[{1, "overlapped forward"}]), 57830);
  EXPECT_EQ((starts[{1, "overlapped forward"}]), (starts[{2, "overlapped forward"}]));
}

TEST(Trace, ArrowsLeadFromTheStepWaitedForToTheWaitingOne) {
  const auto slices = events(sample_report(), "X");
  const auto starts = events(sample_report(), "s");
  const auto finishes = events(sample_report(), "f");
  ASSERT_EQ(starts.size(), finishes.size());
  EXPECT_EQ(starts.size(), 2U * 2U * 2U * 4U);  // processes x strategies x ranks x waits between lanes
  for (std::size_t i = 0; i < starts.size(); ++i) {
    EXPECT_EQ(starts[i].at("id"), finishes[i].at("id"));
    EXPECT_EQ(finishes[i].at("bp"), "e");
    EXPECT_NE(thread_of(starts[i]), thread_of(finishes[i]));
    EXPECT_THAT(slices_at(slices, thread_of(starts[i]), starts[i].at("ts")), testing::SizeIs(1));
    EXPECT_FALSE(slices_at(slices, thread_of(finishes[i]), finishes[i].at("ts")).empty());
  }
}

TEST(Trace, LateRanksShowTheirLateness) {
  measure::Report report = sample_report();
  std::vector<Json> late;
  for (const Json& slice : events(report, "X"))
    if (slice.at("name") == "late") late.push_back(slice);
  ASSERT_EQ(late.size(), 2U);  // rank 1, in both strategies
  for (const Json& slice : late) {
    EXPECT_EQ(slice.at("dur"), 702.0);
    EXPECT_EQ(slice.at("pid"), 1);
  }
  report.clock_uncertainty_us = 800;
  for (const Json& slice : events(report, "X")) EXPECT_NE(slice.at("name"), "late");
}

TEST(Trace, WaitingForTheLastRankShowsInsideTheExchange) {
  measure::Report report = sample_report();
  const auto slices = events(report, "X");
  int waits = 0;
  for (const Json& slice : slices) {
    if (slice.at("name") != "waits for rank 1") continue;
    ++waits;
    EXPECT_EQ(slice.at("pid"), 1);
    EXPECT_NEAR(slice.at("dur").get<double>(), slice.at("tid") == 11 ? 93.7 : 702, 1.4);  // all of the count exchange
    // Around it lies the exchange that waits, listed before it.
    EXPECT_THAT(slices_at(slices, thread_of(slice), slice.at("ts")), testing::SizeIs(2));
  }
  EXPECT_EQ(waits, 2 * 3);  // strategies x (counts, dispatch, combine), rank 0 alone
  report.clock_uncertainty_us = 800;
  for (const Json& slice : events(report, "X")) EXPECT_NE(slice.at("name"), "waits for rank 1");
}

TEST(Trace, WrongOrUncheckedResultsAreNotDrawn) {
  measure::Report report = sample_report();
  report.rows[0].check.passed = false;
  report.rows[1].check.tokens_checked = 0;
  for (const Json& slice : events(report, "X")) EXPECT_EQ(slice.at("pid"), 2);
}

TEST(Trace, UnknownStepIsAnError) {
  measure::Report report = sample_report();
  report.rows[0].measured_spans[0].op = 99;
  EXPECT_THROW(trace(report), core::Error);
}

}  // namespace
}  // namespace ep::report
