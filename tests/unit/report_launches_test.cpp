#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.hpp"
#include "measure/launches.hpp"
#include "report/report.hpp"
#include "report_sample.hpp"

namespace ep::measure {
namespace {

using report::test::sample_report;
using testing::ElementsAre;

std::vector<Report> three_launches() {
  std::vector<Report> launches(3, sample_report());
  const double medians_us[] = {100, 130, 110};
  for (std::size_t i = 0; i < launches.size(); ++i) {
    Row& row = launches[i].rows[0];
    row.median_us = medians_us[i];
    row.iterations = 40;
    row.steps[3].measured_us = 10 * medians_us[i];
    row.per_rank[1].lateness_us = static_cast<double>(i);
    row.waterfall.lateness_us = static_cast<double>(10 * i);
    row.predicted_us = i == 1 ? 105 : 200 * static_cast<double>(i);
    row.bottleneck.step = i == 2 ? "combine" : "dispatch";
    row.measured_spans[0].end_us = medians_us[i];
    launches[i].clock_uncertainty_us = static_cast<double>(i);
  }
  launches[1].rows[0].exposed_us = 7.0;
  launches[2].rows[0].check.max_relative_error = 0.01;
  launches[2].notes.emplace_back("seen in the third launch only");
  return launches;
}

TEST(MergeLaunches, TakesMediansAndKeepsEveryLaunch) {
  const Report merged = merge_launches(three_launches());
  const Row& row = merged.rows[0];
  EXPECT_EQ(row.median_us, 110);
  EXPECT_THAT(row.launch_medians_us, ElementsAre(100, 130, 110));
  EXPECT_EQ(row.launches, 3);
  EXPECT_EQ(row.iterations, 120);
  EXPECT_EQ(row.steps[3].measured_us, 1100);
  EXPECT_EQ(row.per_rank[1].lateness_us, 1);
  EXPECT_EQ(row.exposed_us, 7.0);
  EXPECT_EQ(row.check.max_relative_error, 0.01);
  EXPECT_EQ(row.check.tokens_checked, 3 * 192);
  EXPECT_EQ(merged.clock_uncertainty_us, 2);
  EXPECT_EQ(merged.notes.size(), 2U);
}

TEST(MergeLaunches, BottleneckAndTimelineAreOfTheTypicalLaunch) {
  const Report merged = merge_launches(three_launches());
  EXPECT_EQ(merged.rows[0].bottleneck.step, "combine");
  EXPECT_EQ(merged.rows[0].waterfall.lateness_us, 10);  // of the launch with the median prediction
  EXPECT_EQ(merged.rows[0].measured_spans[0].end_us, 110);
}

TEST(MergeLaunches, ASuspectNeedsMostOfTheLaunches) {
  auto launches = three_launches();
  for (Report& launch : launches) launch.rows[0].suspects.clear();
  for (const std::size_t i : {0UL, 2UL})
    launches[i].rows[0].suspects = {{"compute", 1, "alpha", i == 0 ? 1.5 : 1.7, i == 0 ? 0.2 : 0.4}};
  launches[1].rows[0].suspects = {{"compute", 0, "alpha", 9}};
  const Row row = merge_launches(launches).rows[0];
  ASSERT_EQ(row.suspects.size(), 1U);
  EXPECT_EQ(row.suspects[0].index, 1);
  EXPECT_DOUBLE_EQ(row.suspects[0].slowdown, 1.6);
  EXPECT_NEAR(row.suspects[0].waited_share.value(), 0.3, 1e-12);
}

TEST(MergeLaunches, OneBadLaunchSpoilsTheRow) {
  auto launches = three_launches();
  launches[1].rows[0].check.passed = false;
  launches[2].rows[0].converged = false;
  launches[2].rows[1].check.tokens_checked = 0;
  const Report merged = merge_launches(launches);
  EXPECT_EQ(status_of(merged.rows[0]), "wrong data");
  EXPECT_FALSE(merged.rows[0].converged);
  EXPECT_EQ(status_of(merged.rows[1]), "unchecked");
}

TEST(MergeLaunches, OneLaunchStaysAsItIs) {
  const std::vector<Report> one = {sample_report()};
  const Row row = merge_launches(one).rows[1];
  EXPECT_EQ(row.median_us, one[0].rows[1].median_us);
  EXPECT_EQ(row.launches, 1);
}

TEST(MergeLaunches, RefusesAnotherJob) {
  auto launches = three_launches();
  launches[1].rows[1].combine_bytes.useful += 1;
  EXPECT_THROW(merge_launches(launches), core::Error);
  launches = three_launches();
  launches[2].rows.pop_back();
  EXPECT_THROW(merge_launches(launches), core::Error);
  launches = three_launches();
  launches[2].rows[0].steps.pop_back();
  EXPECT_THROW(merge_launches(launches), core::Error);
}

TEST(MergeLaunches, FromFilesIsTheSameAsFromMemory) {
  const auto launches = three_launches();
  std::vector<Report> read;
  for (const Report& launch : launches) read.push_back(report::from_json(report::json(launch), "launch.json"));
  EXPECT_EQ(report::json(merge_launches(read)), report::json(merge_launches(launches)));
  EXPECT_EQ(report::table(merge_launches(read)), report::table(merge_launches(launches)));
}

}  // namespace
}  // namespace ep::measure
