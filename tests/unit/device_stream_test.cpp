#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "device/cpu_stream.hpp"
#include "device/device.hpp"

namespace ep::device {
namespace {

class CpuStreamTest : public testing::Test {
 protected:
  CpuStream& compute() { return static_cast<CpuStream&>(device_->compute_stream()); }
  CpuStream& comm() { return static_cast<CpuStream&>(device_->comm_stream()); }
  std::unique_ptr<Device> device_ = make_cpu_device({.threads = 1});
};

/// Holds a stream until opened.
class Gate {
 public:
  void pass() const { open_.wait(0); }
  void open() {
    open_.store(1);
    open_.notify_all();
  }

 private:
  std::atomic<int> open_{0};
};

TEST_F(CpuStreamTest, RunsInTheOrderEnqueued) {
  std::vector<int> order;
  for (int i = 0; i < 1000; ++i) compute().enqueue([&order, i] { order.push_back(i); });
  device_->synchronize();
  ASSERT_EQ(order.size(), 1000U);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST_F(CpuStreamTest, StreamsRunSideBySide) {
  Gate from_comm;
  bool met = false;
  compute().enqueue([&] {
    from_comm.pass();  // would hang if comm ran only after compute
    met = true;
  });
  comm().enqueue([&] { from_comm.open(); });
  device_->synchronize();
  EXPECT_TRUE(met);
}

TEST_F(CpuStreamTest, EnqueueDoesNotWaitForTheWork) {
  Gate gate;
  bool ran = false;
  compute().enqueue([&] { gate.pass(); });
  compute().enqueue([&] { ran = true; });
  gate.open();  // never reached if enqueue had run the closure
  device_->synchronize();
  EXPECT_TRUE(ran);
}

TEST_F(CpuStreamTest, WaitOrdersOneStreamAfterTheOther) {
  // Plain ints: without the order it is a data race, for the thread sanitizer too.
  const auto event = device_->create_event();
  const auto back = device_->create_event();
  int value = 0;
  for (int round = 0; round < 500; ++round) {
    compute().enqueue([&value] { ++value; });
    device_->record(*event, compute());
    device_->wait(comm(), *event);
    comm().enqueue([&value] { value *= value % 2 == 1 ? 1 : 1000; });  // odd unless it came too early
    comm().enqueue([&value] { ++value; });
    device_->record(*back, comm());
    device_->wait(compute(), *back);
  }
  device_->synchronize();
  EXPECT_EQ(value, 1000);
}

TEST_F(CpuStreamTest, WaitKeepsTheRecordItWasEnqueuedWith) {
  Gate first;
  Gate second;
  std::atomic<bool> passed{false};
  const auto event = device_->create_event();
  const auto seen = device_->create_event();
  compute().enqueue([&] { first.pass(); });
  device_->record(*event, compute());
  device_->wait(comm(), *event);  // means the record above
  comm().enqueue([&] { passed = true; });
  device_->record(*seen, comm());
  compute().enqueue([&] { second.pass(); });
  device_->record(*event, compute());
  first.open();
  device_->synchronize(*seen);  // hangs if the wait moved on to the second record
  EXPECT_TRUE(passed);
  second.open();
  device_->synchronize();
}

TEST_F(CpuStreamTest, NewRecordOnAnotherStreamDoesNotReleaseOldWaits) {
  Gate gate;
  int value = 0;
  int seen = -1;
  const auto event = device_->create_event();
  const auto other = device_->create_event();
  compute().enqueue([&] {
    gate.pass();
    value = 1;
  });
  device_->record(*event, compute());
  device_->record(*other, comm());
  device_->wait(comm(), *event);
  comm().enqueue([&] { seen = value; });
  device_->synchronize(*other);  // comm now stands at its wait
  CpuStop stop;
  CpuStream third(stop);
  device_->record(*event, third);  // reached at once
  device_->synchronize(*event);
  gate.open();
  device_->synchronize();
  EXPECT_EQ(seen, 1);
}

TEST_F(CpuStreamTest, EventMayGoBeforeItIsReached) {
  Gate gate;
  int value = 0;
  int seen = -1;
  compute().enqueue([&] {
    gate.pass();
    value = 1;
  });
  {
    const auto event = device_->create_event();
    device_->record(*event, compute());
    device_->wait(comm(), *event);
  }
  comm().enqueue([&] { seen = value; });
  gate.open();
  device_->synchronize();
  EXPECT_EQ(seen, 1);
}

TEST_F(CpuStreamTest, ErrorSkipsWhatFollowsOnBothStreamsAndLeavesNobodyWaiting) {
  bool compute_ran = false;
  bool comm_ran = false;
  const auto event = device_->create_event();
  compute().enqueue([] { throw std::runtime_error("first"); });
  compute().enqueue([&] { compute_ran = true; });
  device_->record(*event, compute());
  device_->wait(comm(), *event);
  comm().enqueue([&] { comm_ran = true; });
  EXPECT_THROW(device_->synchronize(*event), std::runtime_error);
  EXPECT_THROW(device_->synchronize(), std::runtime_error);
  EXPECT_FALSE(compute_ran);
  EXPECT_FALSE(comm_ran);
}

TEST_F(CpuStreamTest, TheFirstErrorIsTheOneReported) {
  const auto event = device_->create_event();
  Gate gate;
  comm().enqueue([&] {
    gate.pass();
    throw std::runtime_error("second");
  });
  compute().enqueue([] { throw std::runtime_error("first"); });
  device_->record(*event, compute());
  EXPECT_THROW(device_->synchronize(*event), std::runtime_error);
  gate.open();
  for (int time = 0; time < 2; ++time) {  // and it stays
    try {
      device_->synchronize();
      FAIL() << "no error";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "first");
    }
  }
}

TEST_F(CpuStreamTest, DestructionSkipsWhatHasNotStarted) {
  Gate gate;
  Gate started;
  std::atomic<int> ran{0};
  const auto event = device_->create_event();
  compute().enqueue([&] {
    started.open();
    gate.pass();
    ++ran;
  });
  compute().enqueue([&] { ++ran; });
  device_->record(*event, compute());
  device_->wait(comm(), *event);  // must not be left waiting either
  comm().enqueue([&] { ++ran; });
  started.pass();
  std::thread opener([&] { gate.open(); });
  device_.reset();
  opener.join();
  EXPECT_GE(ran.load(), 1);
}

}  // namespace
}  // namespace ep::device
