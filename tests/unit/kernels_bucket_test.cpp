#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/bucket.hpp"
#include "kernels/token_layout.hpp"
#include "kernels_fixture.hpp"

namespace ep::kernels {
namespace {

struct Buckets {
  std::vector<std::int32_t> counts;
  std::vector<std::int32_t> position;
};

Buckets run_bucket(const std::vector<std::int32_t>& ids, const std::vector<std::int32_t>& key, std::int64_t tokens,
                   int topk, int buckets) {
  // Left-over values must not show through.
  Buckets result{std::vector<std::int32_t>(static_cast<std::size_t>(buckets), 77),
                 std::vector<std::int32_t>(ids.size(), 77)};
  BucketArgs args{};
  args.expert_ids = ids.data();
  args.expert_key = key.data();
  args.tokens = tokens;
  args.topk = topk;
  args.experts = static_cast<std::int32_t>(key.size());
  args.buckets = buckets;
  args.counts = result.counts.data();
  args.position = result.position.data();
  bucket_cpu(args);
  return result;
}

TEST(Bucket, SortsStablyByRankThenLocalExpert) {
  // Expert 0 lives on rank 1, experts 1 and 2 on rank 0.
  const std::vector<std::int32_t> key{bucket_key(1, 0, 2), bucket_key(0, 0, 2), bucket_key(0, 1, 2)};
  const auto result = run_bucket({0, 1, 2, -1, 1, 0}, key, 3, 2, 4);
  EXPECT_EQ(result.counts, (std::vector<std::int32_t>{2, 1, 2, 0}));
  EXPECT_EQ(result.position, (std::vector<std::int32_t>{3, 0, 2, -1, 1, 4}));
}

TEST(Bucket, NoTokensLeavesZeroCounts) {
  EXPECT_EQ(run_bucket({}, {0, 1}, 0, 4, 2).counts, (std::vector<std::int32_t>{0, 0}));
}

TEST(Bucket, AgreesWithThePlainSortOnRandomShapes) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    core::Random random(seed, 1);
    const int ranks = 1 + below(random, 9);
    const int experts = 1 + below(random, 40);
    const int topk = 1 + below(random, std::min(experts, 9));
    const int tokens = below(random, 70);
    const int max_local = (experts + ranks - 1) / ranks;
    std::vector<std::int32_t> key;
    for (int e = 0; e < experts; ++e) key.push_back(bucket_key(e % ranks, e / ranks, max_local));
    const auto ids = random_experts(random, tokens, topk, experts);
    std::vector<std::int32_t> counts(static_cast<std::size_t>(ranks * max_local), 0);
    for (const auto id : ids)
      if (id >= 0) ++counts[static_cast<std::size_t>(key[static_cast<std::size_t>(id)])];

    const auto result = run_bucket(ids, key, tokens, topk, ranks * max_local);
    EXPECT_EQ(result.counts, counts) << "seed " << seed;
    EXPECT_EQ(result.position, bucket_positions(ids, key, ranks * max_local)) << "seed " << seed;
  }
}

}  // namespace
}  // namespace ep::kernels
