#include <cstdlib>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report/report.hpp"
#include "report/text_table.hpp"
#include "report_sample.hpp"

namespace ep::report {
namespace {

using test::odd_report;
using test::sample_report;
using testing::HasSubstr;
using testing::Not;

/// Compares with tests/data/NAME; EP_UPDATE_GOLDEN=1 in the environment writes it instead, to be read and committed.
void expect_golden(const std::string& text, const std::string& name) {
  const std::string path = std::string(EPBENCH_SOURCE_DIR) + "/tests/data/" + name;
  if (std::getenv("EP_UPDATE_GOLDEN") != nullptr) write_file(path, text);
  std::ostringstream expected;
  expected << std::ifstream(path).rdbuf();
  EXPECT_EQ(text, expected.str()) << "see " << path;
}

/// The table with wrapped lines joined again.
std::string joined(const measure::Report& report) {
  std::string text = table(report);
  for (std::size_t at = text.find("\n  "); at != std::string::npos; at = text.find("\n  ", at))
    text.replace(at, 3, " ");
  return text;
}

std::string section(const std::string& text, const std::string& title) {
  const std::size_t start = text.find("\n" + title + ", forward\n");
  return text.substr(start, text.find("\n  bytes", start) - start);
}

TEST(ReportTable, Golden) {
  expect_golden(table(sample_report()), "report_table.txt");
}

TEST(ReportTable, GoldenOfTheOddOnes) {
  expect_golden(table(odd_report()), "report_table_odd.txt");
}

TEST(ReportTable, WrongOrUncheckedResultsPrintNoTime) {
  const std::string text = table(odd_report());
  EXPECT_THAT(section(text, "chunked:4"), HasSubstr("WRONG DATA"));
  EXPECT_THAT(section(text, "chunked:4"), Not(HasSubstr("4711.9")));
  EXPECT_THAT(section(text, "two-batch"), HasSubstr("NOT CHECKED"));
  EXPECT_THAT(section(text, "two-batch"), Not(HasSubstr("4650")));
  EXPECT_THAT(section(text, "two-batch"), Not(HasSubstr("659.0")));  // the measured time of a step
}

TEST(ReportTable, LatenessBelowTheClockIsABound) {
  measure::Report report = odd_report();
  EXPECT_THAT(table(report), HasSubstr("rank 5 by ~212.7, the others by < 14.6"));
  report.clock_uncertainty_us = 300;
  EXPECT_THAT(table(report), HasSubstr("every rank by < 300.0"));
}

TEST(ReportTable, SaysWhyOverlapBringsNothing) {
  measure::Report report = sample_report();
  EXPECT_THAT(joined(report), HasSubstr("moving the bytes is itself compute"));
  report.rows[1].device = "cuda";
  EXPECT_THAT(joined(report), HasSubstr("they share what they run on"));
  report.rows[1].compute_interference = 1.0;
  EXPECT_THAT(joined(report), HasSubstr("there is little to hide"));
  report.rows[0].steps[3].measured_us = 20000;
  EXPECT_THAT(joined(report), HasSubstr("2.350 ms of communication stay exposed"));
  report.rows[1].median_us = 40000;
  EXPECT_THAT(joined(report), Not(HasSubstr("brings no gain")));
}

TEST(ReportTable, AGainBelowTheNoiseIsNone) {
  measure::Report report = sample_report();
  report.rows[1].median_us = 55500;  // 4.2 % faster
  report.rows[0].launch_medians_us.clear();
  report.rows[1].launch_medians_us.clear();
  EXPECT_THAT(joined(report), Not(HasSubstr("brings no gain")));
  report.rows[0].launch_medians_us = {56000, 57830.4, 60000};  // launches differ by 6.9 %
  EXPECT_THAT(joined(report), HasSubstr("brings no gain"));
}

TEST(ReportTable, AGainWithinTheIntervalIsNone) {
  measure::Report report = sample_report();
  for (measure::Row& row : report.rows) row.launch_medians_us.clear();
  report.rows[1].median_us = 50000;
  EXPECT_THAT(joined(report), Not(HasSubstr("brings no gain")));
  report.rows[1].ci_low_us = 40000;
  report.rows[1].ci_high_us = 60000;
  EXPECT_THAT(joined(report), HasSubstr("noise 20.0%"));
}

TEST(ReportTable, WithoutAnIntervalNoGainIsJudged) {
  measure::Report report = sample_report();
  measure::Row& row = report.rows[1];
  row.launch_medians_us.clear();
  row.ci_low_us = row.ci_high_us = std::nullopt;
  row.iterations = 1;
  const std::string table = joined(report);
  EXPECT_THAT(table, HasSubstr("(too few iterations for an interval), p95"));
  EXPECT_THAT(table, HasSubstr("; 1 iteration, "));
  EXPECT_THAT(table, HasSubstr("overlapped: too few iterations to tell a gain from noise"));
  EXPECT_THAT(table, Not(HasSubstr("brings no gain")));
}

TEST(ReportTable, OneReasonIsGivenOnce) {
  measure::Report report = sample_report();
  report.rows.push_back(report.rows[1]);
  report.rows[2].strategy = "two-batch";
  EXPECT_THAT(
      joined(report),
      HasSubstr("overlapped (1.01x), two-batch (1.01x) bring no gain over sequential (noise 2.9%): compute ran"));
  report.rows[2].compute_interference = 1.2;  // another reason
  EXPECT_THAT(joined(report), HasSubstr("two-batch (1.01x) brings no gain over sequential"));
}

TEST(ReportTable, MoreThanTwoPartsAreShownAsOne) {
  measure::Report report = sample_report();
  measure::Row& row = report.rows[0];
  for (std::size_t i = 0; i < 3; ++i) {
    row.steps[5 + i].name = "gate_up[" + std::to_string(i) + "]";
    row.steps[5 + i].measured_us = 1000.0 + 100 * static_cast<double>(i);
    row.steps[5 + i].start_us = 5000.0 + 2000 * static_cast<double>(i);
  }
  const std::string text = section(table(report), "sequential");
  EXPECT_THAT(text, testing::ContainsRegex("gate_up x3 +compute +5[.]000 +3[.]300"));
  EXPECT_THAT(text, Not(HasSubstr("gate_up[")));
  EXPECT_THAT(text, HasSubstr("so many parts together"));
  EXPECT_THAT(table(sample_report()), HasSubstr("shared[1]"));  // two stay apart
  EXPECT_THAT(table(sample_report()), Not(HasSubstr("so many parts")));
}

TEST(ReportTable, SaysHowMuchLiesBetweenTheSteps) {
  measure::Report report = sample_report();
  EXPECT_THAT(joined(report), Not(HasSubstr("between the steps")));
  for (measure::StepResult& step : report.rows[0].steps)
    if (step.id > 5) step.start_us += 10000;
  report.rows[0].median_us += 10000;
  EXPECT_THAT(joined(report), HasSubstr("(14.8%) of the iteration lies between the steps"));
}

TEST(ReportTable, DirectionsAreComparedApart) {
  measure::Report report = sample_report();
  report.rows.push_back(report.rows[0]);
  report.rows.back().direction = "backward";
  report.rows.back().median_us = 2 * report.rows[0].median_us;
  const std::string text = table(report);
  EXPECT_THAT(text, HasSubstr("sequential, backward  115.661"));
  EXPECT_THAT(text, Not(HasSubstr("0.50x")));
}

TEST(ReportTable, OneRowIsNotCompared) {
  measure::Report report = sample_report();
  report.rows.pop_back();
  EXPECT_THAT(table(report), Not(HasSubstr("compared")));
  report.rows.clear();
  EXPECT_THAT(table(report), HasSubstr("no rows"));
}

TEST(TextTable, AlignsAndTrims) {
  TextTable columns("lrl");
  columns.add({"name", "value", "why"});
  columns.add({"a", "1.5", ""});
  EXPECT_EQ(columns.str(1), " name  value  why\n a       1.5\n");
}

TEST(Wrapped, BreaksAtBlanksOnly) {
  EXPECT_EQ(wrapped("one two three", "  ", 8), "one two\n  three\n");
  EXPECT_EQ(wrapped("unbreakable", "  ", 4), "unbreakable\n");
  EXPECT_EQ(wrapped("", "  ", 4), "\n");
}

}  // namespace
}  // namespace ep::report
