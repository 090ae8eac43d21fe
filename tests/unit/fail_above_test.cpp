#include "measure/fail_above.hpp"

#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ep::measure {
namespace {

/// Predicted 100 us, of which a dispatch takes 40 and a bucket 1.
Report report(double iteration_us, double dispatch_us, double bucket_us) {
  Row row;
  row.strategy = "sequential";
  row.direction = "forward";
  row.median_us = iteration_us;
  row.predicted_us = 100;
  row.bottleneck = {.resource = "node egress", .rank = 2, .utilisation = 0.5, .step = "dispatch"};
  row.check = {.passed = true, .max_relative_error = 0, .tokens_checked = 1};
  for (const auto& [name, measured, predicted] :
       {std::tuple{"dispatch", dispatch_us, 40.0}, std::tuple{"bucket", bucket_us, 1.0}}) {
    StepResult step;
    step.name = name;
    step.resource = "egress";
    step.measured_us = measured;
    step.predicted_us = predicted;
    row.steps.push_back(step);
  }
  Report result;
  result.rows = {row};
  return result;
}

TEST(FailAbove, SaysNothingWithinTheBound) {
  EXPECT_TRUE(slower_than(report(119, 47, 1.1), 1.2).empty());
}

TEST(FailAbove, NamesTheIterationAndItsBottleneck) {
  const auto complaints = slower_than(report(130, 40, 1), 1.2);
  ASSERT_EQ(complaints.size(), 1U);
  EXPECT_THAT(complaints[0], testing::AllOf(testing::HasSubstr("sequential, forward: the iteration took 1.30 times"),
                                            testing::HasSubstr("node egress of node 2, most in dispatch")));
}

TEST(FailAbove, NamesTheStepAndWhatBindsIt) {
  const auto complaints = slower_than(report(110, 60, 1), 1.2);
  ASSERT_EQ(complaints.size(), 1U);
  EXPECT_THAT(complaints[0],
              testing::AllOf(testing::HasSubstr("dispatch took 1.50 times"), testing::HasSubstr("bound by egress")));
}

TEST(FailAbove, PassesOverStepsTooShortToMatter) {
  EXPECT_TRUE(slower_than(report(110, 40, 4), 1.2).empty());     // 2.8 us too long, of 100
  EXPECT_EQ(slower_than(report(110, 40, 6.3), 1.2).size(), 1U);  // 5.1 us
}

TEST(FailAbove, PassesOverWhatWasNotChecked) {
  Report unchecked = report(500, 400, 100);
  unchecked.rows[0].check.tokens_checked = 0;
  EXPECT_TRUE(slower_than(unchecked, 1.2).empty());
}

}  // namespace
}  // namespace ep::measure
