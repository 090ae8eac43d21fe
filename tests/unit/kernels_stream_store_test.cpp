#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/stream_store_cpu.hpp"
#include "kernels_fixture.hpp"

namespace ep::kernels {
namespace {

TEST(StreamCopy, CopiesExactlyTheBytesAtAnyAlignment) {
  core::Random random(1, 10);
  const auto in = random_bytes(random, 400);
  for (std::size_t from = 0; from < 20; ++from) {
    for (std::size_t to = 0; to < 70; to += 3) {
      for (const std::int64_t bytes : {0, 1, 63, 64, 65, 200}) {
        std::vector<std::byte> out(400, std::byte{0});
        auto want = out;
        std::copy_n(in.begin() + static_cast<std::ptrdiff_t>(from), bytes,
                    want.begin() + static_cast<std::ptrdiff_t>(to));
        stream_copy(out.data() + to, in.data() + from, bytes);
        stream_fence();
        ASSERT_EQ(out, want) << from << " -> " << to << ", " << bytes << " bytes";
      }
    }
  }
}

TEST(StreamCopy, FansOutToEveryPlace) {
  core::Random random(1, 11);
  const auto in = random_bytes(random, 192);
  alignas(64) std::array<std::byte, 3 * 192> out{};
  const std::array<std::byte*, 3> places{out.data(), out.data() + 192, out.data() + 384};
  stream_copy(places, in.data(), 192);
  stream_fence();
  for (const std::byte* place : places) EXPECT_TRUE(std::equal(in.begin(), in.end(), place));
}

TEST(StreamThreshold, ComesFromTheCacheAndCanBeSet) {
  const std::int64_t before = streaming_threshold_bytes();
  EXPECT_GE(before, 2 << 20);
  set_streaming_threshold_bytes(123);
  EXPECT_EQ(streaming_threshold_bytes(), 123);
  set_streaming_threshold_bytes(before);
}

}  // namespace
}  // namespace ep::kernels
