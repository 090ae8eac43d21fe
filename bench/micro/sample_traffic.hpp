#pragma once
#include <cstdint>
#include <vector>

#include "core/random.hpp"
#include "kernels/bucket.hpp"
#include "kernels/token_layout.hpp"

namespace ep::bench {

/// [tokens, topk] uniform expert ids, none twice in a token. More tokens of the same topk begin with the same ones.
inline std::vector<std::int32_t> sample_expert_ids(std::int64_t tokens, int topk, int experts) {
  core::Random random(1, 1);
  std::vector<std::int32_t> ids;
  for (std::int64_t t = 0; t < tokens; ++t) {
    // Odd steps around a power of two meet nothing twice.
    const auto first = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(experts)));
    const auto step = static_cast<std::int32_t>(2 * random.below(static_cast<std::uint64_t>(experts) / 2) + 1);
    for (int k = 0; k < topk; ++k) ids.push_back((first + k * step) % experts);
  }
  return ids;
}

/// Uniformly routed tokens of rank 0 of `ranks`, experts in blocks, and the bucket order of their copies.
struct SampleTraffic {
  static constexpr int kExperts = 32;
  static constexpr int kRanks = 4;

  SampleTraffic(std::int64_t token_count, int copies_per_token) : tokens(token_count), topk(copies_per_token) {
    for (std::int32_t e = 0; e < kExperts; ++e)
      key.push_back(kernels::bucket_key(e / (kExperts / kRanks), e % (kExperts / kRanks), kExperts / kRanks));
    ids = sample_expert_ids(tokens, topk, kExperts);
    counts.resize(kExperts);
    position.resize(ids.size());
    bucket();
    for (std::size_t b = 0; b < kExperts / kRanks; ++b) own.end += counts[b];
  }

  void bucket() {
    kernels::BucketArgs args{};
    args.expert_ids = ids.data();
    args.expert_key = key.data();
    args.tokens = tokens;
    args.topk = topk;
    args.experts = kExperts;
    args.buckets = kExperts;
    args.counts = counts.data();
    args.position = position.data();
    kernels::bucket_cpu(args);
  }
  [[nodiscard]] std::int64_t copies() const { return tokens * topk; }

  std::int64_t tokens;
  int topk;
  std::vector<std::int32_t> ids;       // [tokens, topk]
  std::vector<std::int32_t> key;       // [experts]
  std::vector<std::int32_t> counts;    // [buckets]
  std::vector<std::int32_t> position;  // [tokens, topk]
  kernels::OwnRows own;                // rank 0's
};

}  // namespace ep::bench
