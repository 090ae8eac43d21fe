#include <algorithm>
#include <vector>

#include "kernels/bucket.hpp"

namespace ep::kernels {

void bucket_cpu(const BucketArgs& args) {
  const std::int64_t slots = args.tokens * args.topk;
  std::fill_n(args.counts, args.buckets, 0);
  for (std::int64_t i = 0; i < slots; ++i) {
    const std::int32_t expert = args.expert_ids[i];
    if (expert >= 0) ++args.counts[args.expert_key[expert]];
  }
  std::vector<std::int32_t> next(static_cast<std::size_t>(args.buckets));
  std::int32_t row = 0;
  for (std::size_t b = 0; b < next.size(); ++b) {
    next[b] = row;
    row += args.counts[b];
  }
  for (std::int64_t i = 0; i < slots; ++i) {
    const std::int32_t expert = args.expert_ids[i];
    args.position[i] = expert < 0 ? -1 : next[static_cast<std::size_t>(args.expert_key[expert])]++;
  }
}

}  // namespace ep::kernels
