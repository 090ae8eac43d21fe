#include "device/shared_memory.hpp"

#include <algorithm>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.hpp"

namespace ep::device {
namespace {

constexpr std::int64_t kBytes = 10000;  // not whole pages

TEST(SharedMemory, IsZeroAndKnowsItsPlaces) {
  const Buffer buffer = allocate_shared(kBytes);
  ASSERT_NE(buffer.data(), nullptr);
  EXPECT_EQ(buffer.size_bytes(), kBytes);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 4096, 0);
  EXPECT_EQ(std::count(buffer.data(), buffer.data() + kBytes, std::byte{0}), kBytes);
  for (const std::int64_t offset : {std::int64_t{0}, std::int64_t{1}, kBytes - 1}) {
    const auto place = find_shared(buffer.data() + offset);
    ASSERT_TRUE(place) << offset;
    EXPECT_EQ(place->offset, offset);
    EXPECT_EQ(place->size_bytes, kBytes);
    EXPECT_EQ(place->process, getpid());
  }
}

TEST(SharedMemory, IsNotWhatWasAllocatedOtherwise) {
  const int other = 0;
  EXPECT_FALSE(find_shared(&other));
  const Buffer buffer = allocate_shared(kBytes);
  EXPECT_FALSE(find_shared(buffer.data() - 1));
  EXPECT_FALSE(find_shared(buffer.data() + kBytes));
  EXPECT_FALSE(find_shared(nullptr));
  EXPECT_FALSE(find_shared(&other));
}

TEST(SharedMemory, IsNeverFoundOnceReleased) {
  Buffer buffer = allocate_shared(kBytes);
  const std::byte* const data = buffer.data();
  buffer = {};
  EXPECT_FALSE(find_shared(data));
}

TEST(SharedMemory, IsTheSameInEveryProcessThatMapsIt) {
  const Buffer buffer = allocate_shared(kBytes);
  const SharedPlace place = *find_shared(buffer.data());
  const pid_t child = fork();
  if (child == 0) {
    const SharedMapping mapping(place, true);
    mapping.data()[kBytes - 1] = std::byte{7};
    _exit(mapping.alive() ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(buffer.data()[kBytes - 1], std::byte{7});
}

TEST(SharedMemory, TakesNoneOnceReleasedThoughMapped) {
  Buffer buffer = allocate_shared(kBytes);
  buffer.data()[5] = std::byte{9};
  const SharedMapping mapping(*find_shared(buffer.data()));
  EXPECT_NE(mapping.data(), buffer.data());
  EXPECT_TRUE(mapping.alive());
  buffer = {};
  EXPECT_FALSE(mapping.alive());
  EXPECT_EQ(mapping.data()[5], std::byte{0});  // of a hole, which has no memory
}

/// The message of the refusal to map `place`; empty when it is mapped.
std::string refusal_of(const SharedPlace& place) {
  try {
    const SharedMapping mapping(place);
    return "";
  } catch (const core::Error& error) {
    EXPECT_EQ(error.code(), core::ExitCode::unsupported);
    return error.what();
  }
}

TEST(SharedMemory, RefusesToMapWhatIsNotWhatWasMeant) {
  const Buffer buffer = allocate_shared(kBytes);
  const Buffer longer = allocate_shared(2 * kBytes);
  const SharedPlace place = *find_shared(buffer.data());
  EXPECT_EQ(refusal_of(place), "");
  SharedPlace wrong = place;
  wrong.serial += 1;  // as in a container whose processes have the same numbers
  EXPECT_THAT(refusal_of(wrong), testing::HasSubstr("other memory"));
  wrong = place;
  wrong.descriptor = find_shared(longer.data())->descriptor;
  EXPECT_THAT(refusal_of(wrong), testing::HasSubstr("another file"));
  wrong.descriptor = 987654;
  EXPECT_THAT(refusal_of(wrong), testing::HasSubstr("/fd/987654: No such file or directory"));
}

}  // namespace
}  // namespace ep::device
