// The sort by destination that everything else builds on, against the plain loop that says what it means.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "device_suite.hpp"
#include "tests/unit/kernels_fixture.hpp"

namespace ep::device {
namespace {

using core::Random;

/// Experts are dealt out to the ranks, of which each has room for max_local.
struct BucketCase {
  std::uint64_t seed;
  int ranks;
  int max_local;
  int experts;
  int topk;
  std::int64_t tokens;
  int spread;  // one of so many buckets is an expert's
};

/// Small ones of every kind, every other with more buckets than a GPU scans at once; then 1,024 experts, as many as a
/// GPU takes, on one rank, and on 4,096, most of which have none.
std::vector<BucketCase> bucket_cases() {
  std::vector<BucketCase> cases;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Random random(seed, 2);
    const int ranks = 1 + kernels::below(random, 5);
    const int max_local = 1 + kernels::below(random, 5);
    const int experts = ranks * max_local;
    cases.push_back({seed, ranks, max_local, experts, 1 + kernels::below(random, std::min(experts, 8)),
                     kernels::below(random, 3000), seed % 2 == 0 ? 1 : 1 + 1500 / experts});
  }
  cases.push_back({10, 1, 1024, 1024, 8, 400, 1});
  cases.push_back({11, 4096, 1, 1024, 8, 300, 1});
  return cases;
}

TEST_P(DeviceSuite, BucketSortsStably) {
  for (const auto& [seed, ranks, max_local, experts, topk, tokens, spread] : bucket_cases()) {
    Random random(seed, 1);
    const auto ids = kernels::random_experts(random, tokens, topk, experts);
    const std::int32_t buckets = ranks * max_local * spread;
    std::vector<std::int32_t> keys;
    for (int e = 0; e < experts; ++e) {
      const int rank = experts < ranks ? e * (ranks / experts) : e % ranks;
      keys.push_back(spread * kernels::bucket_key(rank, experts < ranks ? 0 : e / ranks, max_local));
    }
    std::vector<std::int32_t> counts(at(buckets));
    for (const std::int32_t id : ids)
      if (id >= 0) ++counts[at(keys[at(id)])];

    const Buffer ids_on = upload(ids);
    const Buffer keys_on = upload(keys);
    const Buffer counts_on = uninitialised<std::int32_t>(buckets);
    const Buffer position_on = uninitialised<std::int32_t>(tokens * topk);
    const Buffer scratch = uninitialised<std::byte>(1 << 20);
    device_->launch(
        device_->compute_stream(),
        kernels::BucketArgs{ids_on.as<std::int32_t>(), keys_on.as<std::int32_t>(), tokens, topk, experts, buckets,
                            counts_on.as<std::int32_t>(), position_on.as<std::int32_t>(), scratch.data()});
    EXPECT_EQ(download<std::int32_t>(counts_on), counts) << "seed " << seed;
    EXPECT_EQ(download<std::int32_t>(position_on), kernels::bucket_positions(ids, keys, buckets)) << "seed " << seed;
  }
}

}  // namespace
}  // namespace ep::device
