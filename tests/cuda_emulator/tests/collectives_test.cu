// Barriers and warp collectives: right results, and misuse told.
#include "cuda_emulator/tests/device_code.hpp"

namespace ep::emulator::test {
namespace {

__global__ void shuffles(int* wrong) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  int bad = 0;
  bad += __shfl_sync(~0u, lane, 5) != 5;
  bad += __shfl_sync(~0u, lane, 5, 8) != (lane & ~7) + 5;
  bad += __shfl_up_sync(~0u, lane, 3) != (lane < 3 ? lane : lane - 3);
  bad += __shfl_down_sync(~0u, lane, 3, 16) != (lane % 16 + 3 > 15 ? lane : lane + 3);
  bad += __shfl_xor_sync(~0u, lane, 9) != (lane ^ 9);
  bad += __shfl_sync(~0u, lane * 1.5, 4) != 6.0;
  if (lane < 8) {
    bad += __shfl_sync(0xffu, lane * 2, 7) != 14;
  } else {
    bad += __shfl_sync(0xffffff00u, lane * 2, 31) != 62;
  }
  wrong[blockIdx.x * blockDim.x + threadIdx.x] = bad;
}

__global__ void votes(int* wrong) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  int bad = 0;
  bad += __ballot_sync(~0u, lane % 3 == 0) != 0x49249249u;
  bad += __any_sync(~0u, lane == 31) != 1;
  bad += __all_sync(~0u, lane < 31) != 0;
  bad += __match_any_sync(~0u, lane / 8) != 0xffu << (lane & ~7);
  int same = 0;
  bad += __match_all_sync(~0u, 7, &same) != ~0u || same != 1;
  bad += __match_all_sync(~0u, lane, &same) != 0u || same != 0;
  wrong[blockIdx.x * blockDim.x + threadIdx.x] = bad;
}

__global__ void reductions(int* wrong) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  int bad = 0;
  bad += __reduce_add_sync(~0u, lane) != 496;
  bad += __reduce_min_sync(~0u, lane - 5) != -5;
  bad += __reduce_max_sync(~0u, lane - 40) != -9;
  bad += __reduce_max_sync(~0u, static_cast<unsigned>(lane)) != 31u;
  bad += __reduce_or_sync(~0u, 1u << lane) != ~0u;
  bad += __reduce_xor_sync(~0u, 1u) != 0u;
  bad += __syncthreads_count(lane == 0) != static_cast<int>(blockDim.x) / 32;
  bad += __syncthreads_or(threadIdx.x == 3) != 1;
  bad += __syncthreads_and(threadIdx.x != 3) != 0;
  wrong[blockIdx.x * blockDim.x + threadIdx.x] = bad;
}

/// Adds up by every kind of atomic: `sums` is {count, maximum, inexact sum, wrapped counter}.
__global__ void atomics(unsigned* sums, float* sum) {
  atomicAdd(&sums[0], 1);
  atomicMax(&sums[1], threadIdx.x + blockIdx.x * blockDim.x);
  atomicInc(&sums[2], 9);
  for (unsigned seen = atomicAdd(&sums[3], 0);;) {
    const unsigned found = atomicCAS(&sums[3], seen, seen + 2);
    if (found == seen) break;
    seen = found;
  }
  atomicAdd(sum, 0.5f);
}

__global__ void exited_threads_are_not_waited_for(int* out) {
  if (threadIdx.x >= 32) return;
  __syncthreads();
  out[threadIdx.x] = 7;
}

__global__ void divergent_barriers(int* out) {
  if (threadIdx.x % 2 == 0) {
    out[threadIdx.x] = 1;
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void half_a_warp_with_a_full_mask(int* out) {
  if (threadIdx.x < 16) {
    out[threadIdx.x] = __shfl_sync(~0u, 1, 0);
  } else {
    __syncthreads();
  }
}

__global__ void not_in_its_own_mask(int* out) {
  out[threadIdx.x] = __shfl_sync(0xffu, 1, 0);
}

__global__ void barrier_in_a_loop(int* out, int rounds) {
  __shared__ int box;
  for (int i = 0; i < rounds; ++i) {
    if (static_cast<int>(threadIdx.x) == i) box = i * 10;
    __syncthreads();
    out[threadIdx.x] = box;
    __syncthreads();
  }
}

class Collectives : public testing::TestWithParam<void (*)(int*)> {};

TEST_P(Collectives, give_what_cuda_gives) {
  for (const unsigned threads : {32u, 256u, 1024u}) {
    int* wrong = device_array<int>(3 * threads);
    ASSERT_EQ(launch(GetParam(), 3, threads, wrong), cudaSuccess);
    EXPECT_EQ(fetch(wrong, 3 * threads), std::vector<int>(3 * threads, 0));
  }
}

INSTANTIATE_TEST_SUITE_P(Of, Collectives, testing::Values(&shuffles, &votes, &reductions));

TEST(Atomics, lose_no_update) {
  unsigned* sums = device_copy<unsigned>({0, 0, 0, 0});
  float* sum = device_copy<float>({0});
  ASSERT_EQ(launch(atomics, 5, 96, sums, sum), cudaSuccess);
  EXPECT_EQ(fetch(sums, 4), (std::vector<unsigned>{480, 479, 0, 960}));
  EXPECT_EQ(fetch(sum, 1).front(), 240.0f);
}

TEST(Barrier, does_not_wait_for_exited_threads) {
  int* out = device_array<int>(64);
  launch(exited_threads_are_not_waited_for, 1, 64, out);
  EXPECT_EQ(fetch(out, 32), std::vector<int>(32, 7));
}

TEST(Barrier, orders_shared_memory) {
  int* out = device_array<int>(128);
  launch(barrier_in_a_loop, 1, 128, out, 100);
  EXPECT_EQ(fetch(out, 128), std::vector<int>(128, 990));
}

TEST(Barrier, that_threads_reach_in_different_places_is_told) {
  EXPECT_REPORT(launch(divergent_barriers, 1, 64, device_array<int>(64)), "divergent-barrier");
}

TEST(Collective, that_misses_lanes_is_told) {
  EXPECT_REPORT(launch(half_a_warp_with_a_full_mask, 1, 32, device_array<int>(32)), "block-deadlock");
}

TEST(Collective, outside_its_own_mask_is_told) {
  EXPECT_REPORT(launch(not_in_its_own_mask, 1, 32, device_array<int>(32)), "warp-mask");
}

}  // namespace
}  // namespace ep::emulator::test
