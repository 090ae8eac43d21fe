#include "mpi/clock_sync.hpp"

#include <chrono>
#include <cmath>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "core/clock.hpp"

namespace ep::mpi {
namespace {

using namespace std::chrono_literals;

TEST(ClockMap, InterpolatesDriftAndKeepsTheWorseUncertainty) {
  const ClockMap map({100, 10, 2}, {300, 14, 1});
  EXPECT_DOUBLE_EQ(map.offset_us(100), 10);
  EXPECT_DOUBLE_EQ(map.offset_us(200), 12);
  EXPECT_DOUBLE_EQ(map.offset_us(350), 15);
  EXPECT_DOUBLE_EQ(map.uncertainty_us(), 2);
}

TEST(ClockMap, OfOneSampleIsConstant) {
  const ClockMap map({100, 10, 2}, {100, 10, 2});
  EXPECT_DOUBLE_EQ(map.offset_us(1e9), 10);
  EXPECT_DOUBLE_EQ(ClockMap().offset_us(5), 0);
  EXPECT_DOUBLE_EQ(ClockMap().uncertainty_us(), 0);
}

TEST(ClockSync, RanksOfOneMachineShareTheClockExactly) {
  const ClockSync sync(Communicator::world());
  EXPECT_TRUE(sync.shared());
  EXPECT_EQ(sync.source(), "shared");
  const ClockSample sample = sync.measure();
  EXPECT_EQ(sample.offset_us, 0);
  EXPECT_EQ(sample.uncertainty_us, 0);
  EXPECT_GT(sample.at_us, 0);
}

/// A clock of this rank's own that runs `offset_us` ahead of the real one and gains `drift` of the time since `start`.
ClockSource false_clock(const std::string& identity, double start_us, double offset_us, double drift) {
  return {identity, [=] {
            const double now = core::now_us();
            return now + offset_us + drift * (now - start_us);
          }};
}

TEST(ClockSync, FindsAnOffsetWithinItsUncertainty) {
  const Communicator world = Communicator::world();
  if (world.size() == 1) GTEST_SKIP() << "one rank is its own clock";
  const double ahead = 1e6 * world.rank();
  const ClockSync sync(world, false_clock(std::to_string(world.rank()), 0, ahead, 0));
  EXPECT_FALSE(sync.shared());
  EXPECT_EQ(sync.source(), "ping-pong");
  const ClockSample sample = sync.measure();
  if (world.rank() == 0) {
    EXPECT_EQ(sample.offset_us, 0);
    EXPECT_EQ(sample.uncertainty_us, 0);
  } else {
    EXPECT_GT(sample.uncertainty_us, 0);
    EXPECT_LT(sample.uncertainty_us, 1e5);  // and so a million of offset cannot be missed
    EXPECT_NEAR(sample.offset_us, -ahead, sample.uncertainty_us + 1e-3);
  }
}

TEST(ClockSync, TwoSamplesTellDriftApartFromOffset) {
  const Communicator world = Communicator::world();
  if (world.size() == 1) GTEST_SKIP() << "one rank is its own clock";
  constexpr double kDrift = 0.01;  // far above a real clock's, so that it shows in the test's time
  double start = core::now_us();   // the ranks of the test share this clock
  world.broadcast_value(start, 0);
  const double drift = world.rank() == 0 ? 0 : kDrift;
  const ClockSource clock = false_clock(std::to_string(world.rank()), start, -5000.0 * world.rank(), drift);
  const ClockSync sync(world, clock);
  const ClockSample before = sync.measure();
  std::this_thread::sleep_for(100ms);
  const double truth = core::now_us();  // rank 0's clock is the true one
  const double local = clock.now_us();
  const double apart = core::now_us() - truth;  // others may have had the core in between
  std::this_thread::sleep_for(100ms);
  const ClockMap map(before, sync.measure());
  // Without interpolation half the drift of 200 ms, 1 ms, would remain.
  EXPECT_NEAR(local + map.offset_us(local), truth, map.uncertainty_us() + apart + 50);
}

TEST(ClockSync, RanksThatShareAForeignClockGetTheSameSample) {
  const Communicator world = Communicator::world();
  if (world.size() < 3) GTEST_SKIP() << "needs two ranks beside rank 0";
  const bool foreign = world.rank() > 0;
  const ClockSync sync(world, false_clock(foreign ? "there" : "here", 0, foreign ? 777 : 0, 0));
  const ClockSample sample = sync.measure();
  const std::vector<double> all = world.gather_all(std::vector<double>{sample.at_us, sample.offset_us});
  for (std::size_t rank = 2; rank < static_cast<std::size_t>(world.size()); ++rank) {
    EXPECT_EQ(all[2 * rank], all[2]);
    EXPECT_EQ(all[2 * rank + 1], all[3]);
  }
}

TEST(HostClock, IsNamedAndRuns) {
  const ClockSource clock = host_clock();
  EXPECT_FALSE(clock.identity.empty());
  EXPECT_EQ(clock.identity, host_clock().identity);
  const double before = clock.now_us();
  EXPECT_GE(clock.now_us(), before);
}

}  // namespace
}  // namespace ep::mpi
