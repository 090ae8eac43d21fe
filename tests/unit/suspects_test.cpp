#include "bench/suspects.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace ep::bench {
namespace {

constexpr int kRanks = 4;
constexpr double kNotKnown = -1;

/// Four ranks on two nodes, one compute operation that is predicted to take 100 us on each.
struct Job {
  Job() {
    topology = {{0, 0, 1, 1}, 2};
    schedule::Operation op;
    op.lane = schedule::Lane::compute;
    schedule.ops.push_back(op);
    prediction.operations.push_back({std::vector<double>(kRanks, 100), {}, nullptr});
    samples.waited_us.assign(kRanks, {});
  }
  /// One iteration.
  void add(const std::vector<double>& took_us, const std::vector<double>& waited_us) {
    schedule::Timeline timeline;
    for (int rank = 0; rank < kRanks; ++rank) {
      const auto r = static_cast<std::size_t>(rank);
      timeline.spans.push_back({rank, schedule::Lane::compute, 0, 0, took_us[r]});
      samples.waited_us[r].push_back(waited_us[r]);
    }
    samples.iterations.push_back(timeline);
  }
  [[nodiscard]] std::vector<measure::Suspect> suspects() const {
    return find_suspects({topology, hosts, link_scale, schedule, samples, prediction});
  }

  placement::Topology topology;
  std::vector<std::string> hosts{"a", "a", "b", "b"};
  std::vector<cost::LinkScale> link_scale;
  schedule::Schedule schedule;
  Samples samples;
  cost::Prediction prediction;
};

TEST(Suspects, NobodyWhoIsLikeItsPeers) {
  Job job;
  job.link_scale = {{1, 0.95}, {1, 1}};
  for (int i = 0; i < 9; ++i) job.add({100, 110, 95, 100}, {5, 5, 5, 5});
  EXPECT_TRUE(job.suspects().empty());
}

TEST(Suspects, ASlowLinkByNodeAndDirection) {
  Job job;
  job.link_scale = {{1, 1}, {1, 0.8}};
  for (int i = 0; i < 9; ++i) job.add({100, 100, 100, 100}, {0, 0, 0, 0});
  const auto suspects = job.suspects();
  ASSERT_EQ(suspects.size(), 1);
  EXPECT_EQ(suspects[0].resource, "node ingress");
  EXPECT_EQ(suspects[0].index, 1);
  EXPECT_EQ(suspects[0].host, "b");
  EXPECT_NEAR(suspects[0].slowdown, 1.25, 1e-12);
}

TEST(Suspects, ARankThatWaitsForItsCoreAlone) {
  Job job;
  for (int i = 0; i < 9; ++i) job.add({100, 100, 130, 100}, {2, 2, 60, 2});
  const auto suspects = job.suspects();
  ASSERT_EQ(suspects.size(), 1);
  EXPECT_EQ(suspects[0].resource, "compute");
  EXPECT_EQ(suspects[0].index, 2);
  EXPECT_NEAR(suspects[0].slowdown, 1.3, 1e-12);
  EXPECT_NEAR(suspects[0].waited_share.value_or(0), 60.0 / 130, 1e-12);
}

TEST(Suspects, ACoreThatIsSlowerIsNotBlamedBelowTwice) {
  Job job;
  for (int i = 0; i < 9; ++i) job.add({100, 100, 190, 100}, {2, 2, 2, 2});
  EXPECT_TRUE(job.suspects().empty());
  Job slower;
  for (int i = 0; i < 9; ++i) slower.add({100, 100, 210, 100}, {2, 2, 2, 2});
  EXPECT_EQ(slower.suspects().size(), 1);
}

TEST(Suspects, WhereWaitingIsNotKnownAThirdIsEnough) {
  Job job;
  for (int i = 0; i < 9; ++i) job.add({100, 140, 100, 100}, std::vector<double>(kRanks, kNotKnown));
  const auto suspects = job.suspects();
  ASSERT_EQ(suspects.size(), 1);
  EXPECT_EQ(suspects[0].index, 1);
  EXPECT_FALSE(suspects[0].waited_share);
}

TEST(Suspects, NotForSomeSlowIterations) {
  Job job;
  for (int i = 0; i < 12; ++i) {
    const double now_and_then = i < 7 ? 500 : 100;  // its median, not its lower quartile
    job.add({100, 100, now_and_then, 100}, std::vector<double>(kRanks, kNotKnown));
  }
  EXPECT_TRUE(job.suspects().empty());
}

TEST(Suspects, NotForTokensThatTheModelKnowsOf) {
  Job job;
  job.prediction.operations[0].rank_us = {100, 100, 250, 0};  // and the last has none
  for (int i = 0; i < 9; ++i) job.add({100, 100, 250, 0}, {0, 0, 0, 0});
  EXPECT_TRUE(job.suspects().empty());
}

TEST(Suspects, TheSlowestFirst) {
  Job job;
  job.link_scale = {{0.5, 1}, {1, 1}};
  for (int i = 0; i < 9; ++i) job.add({100, 100, 300, 100}, {0, 0, 0, 0});
  const auto suspects = job.suspects();
  ASSERT_EQ(suspects.size(), 2);
  EXPECT_EQ(suspects[0].resource, "compute");
  EXPECT_EQ(suspects[1].resource, "node egress");
}

}  // namespace
}  // namespace ep::bench
