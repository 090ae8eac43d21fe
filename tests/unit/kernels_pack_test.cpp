#include <algorithm>
#include <cstddef>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/pack.hpp"
#include "kernels_fixture.hpp"

namespace ep::kernels {
namespace {

using Pack = BothStores;
INSTANTIATE_TEST_SUITE_P(, Pack, testing::Bool(), name_of_stores);

constexpr std::byte kUntouched{0x5a};

struct Shape {
  int tokens;
  int topk;
  std::int64_t row_bytes;
  int misalign;  // bytes that the buffers start past a cache line
};

/// Packs random rows, every rank in turn being the own one, and compares each byte of both outputs.
void check_pack(core::Random& random, const Shape& shape, int ranks) {
  const auto ids = random_experts(random, shape.tokens, shape.topk, std::max(ranks, shape.topk));
  std::vector<std::int32_t> rank_of_expert(static_cast<std::size_t>(std::max(ranks, shape.topk)));
  for (std::size_t e = 0; e < rank_of_expert.size(); ++e) rank_of_expert[e] = static_cast<std::int32_t>(e) % ranks;
  const auto position = bucket_positions(ids, rank_of_expert, ranks);
  const auto rows = random_bytes(random, shape.tokens * shape.row_bytes);
  std::vector<std::int64_t> first(static_cast<std::size_t>(ranks) + 1, 0);
  for (const auto id : ids)
    if (id >= 0) ++first[static_cast<std::size_t>(rank_of_expert[static_cast<std::size_t>(id)]) + 1];
  std::partial_sum(first.begin(), first.end(), first.begin());

  for (std::size_t own = 0; own < static_cast<std::size_t>(ranks); ++own) {
    const OwnRows own_rows{first[own], first[own + 1]};
    const auto offset = static_cast<std::size_t>(shape.misalign);
    std::vector<std::byte> send(static_cast<std::size_t>(first.back() * shape.row_bytes) + offset, kUntouched);
    std::vector<std::byte> recv(static_cast<std::size_t>((own_rows.end - own_rows.begin) * shape.row_bytes) + offset,
                                kUntouched);
    auto want_send = send;
    auto want_recv = recv;
    for (std::size_t i = 0; i < position.size(); ++i) {
      if (position[i] < 0) continue;
      const bool mine = own_rows.contains(position[i]);
      const std::int64_t row = mine ? position[i] - own_rows.begin : position[i];
      std::copy_n(rows.begin() + static_cast<std::int64_t>(i) / shape.topk * shape.row_bytes, shape.row_bytes,
                  (mine ? want_recv : want_send).begin() + shape.misalign + row * shape.row_bytes);
    }
    pack_cpu({rows.data(), position.data(), shape.tokens, shape.topk, shape.row_bytes, send.data() + offset, own_rows,
              recv.data() + offset});
    ASSERT_EQ(send, want_send);
    ASSERT_EQ(recv, want_recv);
  }
}

TEST_P(Pack, MovesEveryByteToItsPlaceOnRandomShapes) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    core::Random random(seed, 2);
    const Shape shape{below(random, 20), 1 + below(random, 10), 2 * (1 + below(random, 150)), below(random, 64)};
    SCOPED_TRACE(seed);
    check_pack(random, shape, 1 + below(random, 9));
  }
}

TEST_P(Pack, WholeCacheLines) {
  core::Random random(1, 3);
  check_pack(random, {17, 4, 256, 0}, 4);
}

TEST_P(Pack, NoTokensTouchesNothing) {
  core::Random random(1, 4);
  check_pack(random, {0, 4, 256, 0}, 3);
}

TEST_P(Pack, AllMaskedTouchesNothing) {
  const std::vector<std::byte> rows(64);
  const std::vector<std::int32_t> position(4, -1);
  std::vector<std::byte> send(64, kUntouched);
  pack_cpu({rows.data(), position.data(), 1, 4, 64, send.data(), {}, nullptr});
  EXPECT_EQ(send, std::vector<std::byte>(64, kUntouched));
}

}  // namespace
}  // namespace ep::kernels
