#pragma once
#include <cstdint>

// Index maths shared by the host and device back ends, so that both agree by construction.
#ifdef __CUDACC__
#define EP_HOST_DEVICE __host__ __device__
#else
#define EP_HOST_DEVICE
#endif

namespace ep::kernels {

/// Bucket of a copy in padded count tables [ranks, max_local].
EP_HOST_DEVICE constexpr std::int32_t bucket_key(std::int32_t rank, std::int32_t slot, std::int32_t max_local) {
  return rank * max_local + slot;
}

/// Rows [own_begin, own_end) of a rank-ordered buffer belong to the rank itself and never travel.
struct OwnRows {
  std::int64_t begin = 0;
  std::int64_t end = 0;

  EP_HOST_DEVICE constexpr bool contains(std::int64_t row) const { return row >= begin && row < end; }
};

}  // namespace ep::kernels
