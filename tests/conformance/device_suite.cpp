#include "device_suite.hpp"

#include <chrono>
#include <cstddef>
#include <thread>

#include "core/clock.hpp"
#include "core/error.hpp"

namespace ep::device {
namespace {

constexpr std::int64_t kLarge = 16 << 20;   // long enough for a missing wait to show
constexpr double kClockToleranceUs = 1000;  // of a device whose clock must be related to the host's

TEST_P(DeviceSuite, SaysWhatItIs) {
  EXPECT_FALSE(device_->name().empty());
  EXPECT_FALSE(device_->description().empty());
  EXPECT_NE(&device_->compute_stream(), &device_->comm_stream());
  EXPECT_EQ(device_->compute_dtype(core::DType::f32), core::DType::f32);
}

TEST_P(DeviceSuite, AllocatesAlignedMemoryForEveryUse) {
  for (const MemoryUse use : {MemoryUse::device, MemoryUse::send, MemoryUse::receive, MemoryUse::host_pinned}) {
    EXPECT_GT(device_->available_bytes(use), 0);
    for (const std::int64_t size : {0, 1, 1000, 1 << 20}) {
      const Buffer buffer = device_->allocate(size, use);
      EXPECT_EQ(buffer.size_bytes(), size);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 256, 0U);
    }
  }
}

TEST_P(DeviceSuite, RefusesMoreMemoryThanThereIs) {
  try {
    static_cast<void>(device_->allocate(std::int64_t{1} << 60, MemoryUse::device));
    FAIL() << "allocated an exbibyte";
  } catch (const core::Error& error) {
    EXPECT_EQ(error.code(), core::ExitCode::unsupported);
  }
}

TEST_P(DeviceSuite, CopiesAndFillsInStreamOrder) {
  const std::vector<std::byte> ones(1000, std::byte{1});
  std::vector<std::byte> got(1000);
  const Buffer buffer = device_->allocate(1000, MemoryUse::device);
  Stream& stream = device_->compute_stream();
  device_->fill(stream, buffer.data(), 7, 1000);
  device_->copy(stream, buffer.data() + 10, ones.data(), 500);
  device_->fill(stream, buffer.data() + 20, 0, 5);
  device_->copy(stream, got.data(), buffer.data(), 1000);
  device_->synchronize();
  for (std::size_t i = 0; i < got.size(); ++i) {
    const int want = i >= 20 && i < 25 ? 0 : i >= 10 && i < 510 ? 1 : 7;
    ASSERT_EQ(std::to_integer<int>(got[i]), want) << "byte " << i;
  }
}

/// More than a device may have places for on the way.
TEST_P(DeviceSuite, ManySmallCopiesMayBeUnderWay) {
  constexpr std::int64_t kCopies = 100;
  constexpr std::int64_t kBytes = 64;
  std::vector<std::byte> source;
  for (int i = 0; i < kCopies; ++i) source.insert(source.end(), kBytes, static_cast<std::byte>(i));
  const Buffer buffer = device_->allocate(kCopies * kBytes, MemoryUse::device);
  for (std::int64_t i = 0; i < kCopies; ++i)
    device_->copy(device_->compute_stream(), buffer.data() + i * kBytes, &source[at(i * kBytes)], kBytes);
  EXPECT_EQ(download<std::byte>(buffer), source);
}

TEST_P(DeviceSuite, AWaitOrdersTwoStreams) {
  const Buffer buffer = device_->allocate(kLarge, MemoryUse::device);
  const auto filled = device_->create_event();
  const auto copied = device_->create_event();
  std::vector<std::byte> last(20);
  for (int i = 0; i < 20; ++i) {
    device_->fill(device_->comm_stream(), buffer.data(), i + 1, kLarge);
    device_->record(*filled, device_->comm_stream());
    device_->wait(device_->compute_stream(), *filled);
    device_->copy(device_->compute_stream(), &last[static_cast<std::size_t>(i)], buffer.data() + kLarge - 1, 1);
    device_->record(*copied, device_->compute_stream());
    device_->wait(device_->comm_stream(), *copied);
  }
  device_->synchronize();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(std::to_integer<int>(last[static_cast<std::size_t>(i)]), i + 1);
}

TEST_P(DeviceSuite, RecordingAnewLeavesEarlierWaitsAlone) {
  const Buffer buffer = device_->allocate(kLarge, MemoryUse::device);
  const auto event = device_->create_event();
  std::byte got{};
  device_->fill(device_->comm_stream(), buffer.data(), 3, kLarge);
  device_->record(*event, device_->comm_stream());
  device_->wait(device_->compute_stream(), *event);
  device_->copy(device_->compute_stream(), &got, buffer.data() + kLarge - 1, 1);
  // Behind the copy on its own stream: if the wait meant this record, the streams would wait for ever.
  device_->record(*event, device_->compute_stream());
  device_->synchronize(*event);
  EXPECT_EQ(std::to_integer<int>(got), 3);
  device_->synchronize();
}

TEST_P(DeviceSuite, EventTimesAreOfTheHostsClockAndFollowTheStream) {
  std::vector<std::unique_ptr<Event>> events;
  const Buffer buffer = device_->allocate(kLarge, MemoryUse::device);
  const double before = core::now_us();
  for (int i = 0; i < 5; ++i) {
    events.push_back(device_->create_event());
    device_->fill(device_->compute_stream(), buffer.data(), i, kLarge);
    device_->record(*events.back(), device_->compute_stream());
  }
  device_->synchronize();
  const double after = core::now_us();
  EXPECT_GE(device_->time_us(*events.front()), before - kClockToleranceUs);
  EXPECT_LE(device_->time_us(*events.back()), after + kClockToleranceUs);
  for (std::size_t i = 1; i < events.size(); ++i)
    EXPECT_GT(device_->time_us(*events[i]), device_->time_us(*events[i - 1]));
}

TEST_P(DeviceSuite, AnEventKeepsItsTime) {
  const auto event = device_->create_event();
  device_->record(*event, device_->compute_stream());
  device_->synchronize(*event);
  const double time = device_->time_us(*event);
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  EXPECT_EQ(device_->time_us(*event), time);
}

}  // namespace
}  // namespace ep::device
