#pragma once
#include <cstdint>

#include "kernels/stream.hpp"

namespace ep::kernels {

/// Stable counting sort of a chunk's copies by (destination rank, local expert). Device memory throughout.
struct BucketArgs {
  const std::int32_t* expert_ids;  // [tokens, topk], -1 masked
  const std::int32_t* expert_key;  // [experts] bucket_key of each expert
  std::int64_t tokens;
  std::int32_t topk;
  std::int32_t experts;
  std::int32_t buckets;    // ranks * max_local
  std::int32_t* counts;    // out [buckets]
  std::int32_t* position;  // out [tokens, topk] row of the copy in bucket order, -1 masked
  void* scratch;           // bucket_scratch_bytes(), unused by the cpu kernel
};

void bucket_cpu(const BucketArgs& args);
/// Bytes of device memory that bucket_cuda needs at `scratch`.
std::int64_t bucket_scratch_bytes(const BucketArgs& args);
/// At most 1,024 experts. Throws Error (unsupported) for more, Error (cuda) when the launch fails.
void bucket_cuda(const BucketArgs& args, StreamHandle stream);

}  // namespace ep::kernels
