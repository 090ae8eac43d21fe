#include "device/device.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/clock.hpp"
#include "core/error.hpp"
#include "device/cpu_stream.hpp"

namespace ep::device {
namespace {

class CpuDeviceTest : public testing::Test {
 protected:
  CpuStream& compute() { return static_cast<CpuStream&>(device_->compute_stream()); }
  CpuStream& comm() { return static_cast<CpuStream&>(device_->comm_stream()); }
  std::unique_ptr<Device> device_ = make_cpu_device({.threads = 1});
};

TEST_F(CpuDeviceTest, SaysWhatItIs) {
  EXPECT_EQ(device_->name(), "cpu");
  EXPECT_NE(device_->description().find("BLAS"), std::string::npos);
  EXPECT_TRUE(device_->description().ends_with(" with 1 thread")) << device_->description();
  EXPECT_EQ(device_->compute_dtype(core::DType::bf16), core::DType::f32);
}

TEST_F(CpuDeviceTest, AllocatesAlignedZeroedMemoryOfEveryUse) {
  for (const MemoryUse use : {MemoryUse::device, MemoryUse::send, MemoryUse::receive, MemoryUse::host_pinned}) {
    for (const std::int64_t size : {0, 1, 257, (2 << 20) + 5}) {
      const Buffer buffer = device_->allocate(size, use);
      EXPECT_EQ(buffer.size_bytes(), size);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 256, 0U);
      for (std::int64_t i = 0; i < size; ++i) ASSERT_EQ(buffer.data()[i], std::byte{0});
    }
  }
}

TEST_F(CpuDeviceTest, RefusesMoreMemoryThanThereIs) {
  const std::int64_t available = device_->available_bytes(MemoryUse::device);
  EXPECT_GT(available, 0);
  try {
    (void)device_->allocate(available + (std::int64_t{1} << 40), MemoryUse::device);
    FAIL() << "allocated more than there is";
  } catch (const core::Error& error) {
    EXPECT_EQ(error.code(), core::ExitCode::unsupported);
  }
  EXPECT_THROW((void)device_->allocate(-1, MemoryUse::device), core::Error);
}

TEST_F(CpuDeviceTest, CopiesAndFillsInStreamOrder) {
  std::vector<int> source(1000, 7);
  std::vector<int> middle(1000, 1);
  std::vector<int> target(1000, 1);
  Stream& stream = device_->compute_stream();
  const auto bytes = static_cast<std::int64_t>(source.size() * sizeof(int));
  device_->copy(stream, middle.data(), source.data(), bytes);
  device_->copy(stream, target.data(), middle.data(), bytes);
  device_->fill(stream, middle.data(), 0x01, bytes);
  device_->synchronize();
  EXPECT_EQ(target, source);
  EXPECT_EQ(middle, std::vector<int>(1000, 0x01010101));
}

TEST_F(CpuDeviceTest, LaunchCopiesGroupRowsBeforeItReturns) {
  std::vector<std::int64_t> group_rows{2};
  const std::vector<float> in{1, 2};
  const std::vector<float> weights{3};
  std::vector<float> out(2);
  device_->launch(compute(),
                  kernels::GroupedGemmArgs{group_rows, in.data(), weights.data(), out.data(), 1, 1, core::DType::f32});
  group_rows.assign(1, 1000000);
  device_->synchronize();
  EXPECT_EQ(out, (std::vector<float>{3, 6}));
}

TEST_F(CpuDeviceTest, EventTimesFollowStreamOrderOnTheHostClock) {
  const double before_us = core::now_us();
  std::vector<std::unique_ptr<Event>> events;
  for (int i = 0; i < 50; ++i) {
    events.push_back(device_->create_event());
    device_->record(*events.back(), i % 2 == 0 ? device_->compute_stream() : device_->comm_stream());
    device_->wait(i % 2 == 0 ? device_->comm_stream() : device_->compute_stream(), *events.back());
  }
  device_->synchronize();
  const double after_us = core::now_us();
  double last_us = before_us;
  for (const auto& event : events) {
    EXPECT_GE(device_->time_us(*event), last_us);
    last_us = device_->time_us(*event);
  }
  EXPECT_LE(last_us, after_us);
}

TEST_F(CpuDeviceTest, SynchronizeOnAnEventLeavesLaterWorkRunning) {
  std::atomic<bool> release{false};
  int before = 0;
  const auto event = device_->create_event();
  compute().enqueue([&] { before = 1; });
  device_->record(*event, compute());
  compute().enqueue([&] { release.wait(false); });
  device_->synchronize(*event);  // would hang if it waited for the stream
  EXPECT_EQ(before, 1);
  release.store(true);
  release.notify_all();
  device_->synchronize();
}

TEST_F(CpuDeviceTest, EventsMustBeRecordedFirst) {
  const auto event = device_->create_event();
  EXPECT_THROW(device_->wait(compute(), *event), core::Error);
  EXPECT_THROW(device_->synchronize(*event), core::Error);
  EXPECT_THROW((void)device_->time_us(*event), core::Error);
}

TEST_F(CpuDeviceTest, TimeOfAnEventNotReachedIsAnError) {
  std::atomic<bool> release{false};
  const auto event = device_->create_event();
  compute().enqueue([&] { release.wait(false); });
  device_->record(*event, compute());
  EXPECT_THROW((void)device_->time_us(*event), core::Error);
  release.store(true);
  release.notify_all();
  device_->synchronize();
  EXPECT_GT(device_->time_us(*event), 0);
}

TEST_F(CpuDeviceTest, KernelErrorsComeOutOfSynchronize) {
  device_->launch(compute(), kernels::SwigluArgs{nullptr, nullptr, 0, 8, core::DType::e4m3});
  EXPECT_THROW(device_->synchronize(), core::Error);
}

TEST_F(CpuDeviceTest, HasNoGraphs) {
  try {
    (void)device_->capture([] {});
    FAIL() << "captured";
  } catch (const core::Error& error) {
    EXPECT_EQ(error.code(), core::ExitCode::unsupported);
  }
}

}  // namespace
}  // namespace ep::device
