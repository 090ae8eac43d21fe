// Every check catches a planted bug and lets its clean twin pass. `Bug` chooses which of the two a kernel is.
#include <cstdint>

#include "cuda_emulator/runtime/config.hpp"
#include "cuda_emulator/tests/device_code.hpp"

namespace ep::emulator::test {
namespace {

enum class Twin : bool { clean, buggy };
constexpr Twin kBuggy = Twin::buggy;
constexpr Twin kClean = Twin::clean;

template <Twin twin>
__global__ void reverse_by_barrier(int* data) {
  __shared__ int box[64];
  box[threadIdx.x] = data[threadIdx.x];
  if (twin == kClean) __syncthreads();
  data[threadIdx.x] = box[63 - threadIdx.x];
}

template <Twin twin>
__global__ void reverse_by_warp(int* data) {
  __shared__ int box[32];
  box[threadIdx.x] = data[threadIdx.x];
  if (twin == kClean) __syncwarp();
  data[threadIdx.x] = box[31 - threadIdx.x];
}

/// A shuffle is no substitute for __syncwarp: it orders no memory.
__global__ void reverse_by_shuffle(int* data) {
  __shared__ int box[32];
  box[threadIdx.x] = data[threadIdx.x];
  __shfl_sync(~0u, 0, 0);
  data[threadIdx.x] = box[31 - threadIdx.x];
}

template <Twin twin>
__global__ void count(int* total) {
  if (twin == kClean) {
    atomicAdd(total, 1);
  } else {
    *total += 1;
  }
}

template <Twin twin>
__global__ void one_cell_per_block(int* data) {
  if (threadIdx.x == 0) data[twin == kClean ? blockIdx.x : 0] = 1;
}

template <Twin twin>
__global__ void dynamic_shared(int* out) {
  auto* box = static_cast<int*>(dynamic_shared_memory());
  box[threadIdx.x] = 1;
  __syncthreads();
  if (threadIdx.x == 0) out[0] = box[twin == kClean ? blockDim.x - 1 : blockDim.x];
}

__global__ void static_shared(int* out, int length) {
  __shared__ int box[16];
  for (int i = 0; i < length; ++i) box[i] = i;
  out[0] = box[3];
}

__global__ void unwritten_shared(int* out, int written) {
  __shared__ int box[16];
  if (static_cast<int>(threadIdx.x) < written) box[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = box[threadIdx.x];
}

__global__ void write_at(int* data, std::int64_t index) {
  data[index] = 1;
}
__global__ void read_at(const int* data, std::int64_t index, int* out) {
  *out = data[index];
}
__global__ void copy_vector(const unsigned char* from, uint4* to) {
  *to = *reinterpret_cast<const uint4*>(from);
}
__global__ void big_frame(int* out, int index) {
  volatile char big[200000];
  big[index] = 1;
  *out = big[index];
}

/// Reads a buffer at a host address, hidden in a structure so that the launch cannot see it.
struct Hidden {
  const int* data;
};
__global__ void read_hidden(Hidden hidden, int* out) {
  *out = hidden.data[0];
}
int host_global = 5;

#define SKIP_UNLESS_CHECKED() \
  if (!kChecked) GTEST_SKIP() << "only the checked flavour sees this"

TEST(Race, on_shared_memory_without_a_barrier_is_told) {
  SKIP_UNLESS_CHECKED();
  config().check_initialised = false;  // it may tell the same bug first
  EXPECT_REPORT(launch(reverse_by_barrier<kBuggy>, 1, 64, device_copy(std::vector<int>(64, 1))), "kernel-race");
  EXPECT_CLEAN(launch(reverse_by_barrier<kClean>, 1, 64, device_copy(std::vector<int>(64, 1))));
}

TEST(Race, within_a_warp_without_syncwarp_is_told) {
  SKIP_UNLESS_CHECKED();
  config().check_initialised = false;
  EXPECT_REPORT(launch(reverse_by_warp<kBuggy>, 1, 32, device_copy(std::vector<int>(32, 1))), "kernel-race");
  EXPECT_REPORT(launch(reverse_by_shuffle, 1, 32, device_copy(std::vector<int>(32, 1))), "kernel-race");
  EXPECT_CLEAN(launch(reverse_by_warp<kClean>, 1, 32, device_copy(std::vector<int>(32, 1))));
}

TEST(Race, of_a_sum_without_atomics_is_told) {
  SKIP_UNLESS_CHECKED();
  EXPECT_REPORT(launch(count<kBuggy>, 1, 32, device_copy<int>({0})), "kernel-race");
  EXPECT_CLEAN(launch(count<kClean>, 3, 32, device_copy<int>({0})));
}

TEST(Race, between_blocks_is_told) {
  SKIP_UNLESS_CHECKED();
  EXPECT_REPORT(launch(one_cell_per_block<kBuggy>, 2, 1, device_array<int>(4)), "kernel-race");
  EXPECT_CLEAN(launch(one_cell_per_block<kClean>, 4, 1, device_array<int>(4)));
}

TEST(Bounds, of_global_memory_are_checked_for_writes) {
  for (const std::int64_t index : {-1, 100, 1500, -2000}) {
    EXPECT_REPORT(launch(write_at, 1, 1, device_array<int>(100), index), "out-of-bounds");
  }
  EXPECT_CLEAN(launch(write_at, 1, 1, device_array<int>(100), 99));
}

TEST(Bounds, of_global_memory_are_checked_for_reads) {
  SKIP_UNLESS_CHECKED();
  const std::vector<int> data(100, 1);
  EXPECT_REPORT(launch(read_at, 1, 1, device_copy(data), 100, device_array<int>(1)), "out-of-bounds");
  EXPECT_CLEAN(launch(read_at, 1, 1, device_copy(data), 99, device_array<int>(1)));
}

TEST(Bounds, of_dynamic_shared_memory_are_checked) {
  EXPECT_REPORT(launch_on(nullptr, dynamic_shared<kBuggy>, 1, 128, 512, device_array<int>(1)), "out-of-bounds");
  EXPECT_CLEAN(launch_on(nullptr, dynamic_shared<kClean>, 1, 128, 512, device_array<int>(1)));
}

TEST(Bounds, of_static_shared_arrays_are_checked) {
  SKIP_UNLESS_CHECKED();
  EXPECT_REPORT(launch(static_shared, 1, 1, device_array<int>(1), 17), "undefined");
  EXPECT_CLEAN(launch(static_shared, 1, 1, device_array<int>(1), 16));
}

TEST(Alignment, of_vector_accesses_is_checked) {
  SKIP_UNLESS_CHECKED();
  const std::vector<unsigned char> data(64, 1);
  EXPECT_REPORT(launch(copy_vector, 1, 1, device_copy(data) + 8, device_array<uint4>(1)), "(undefined|misaligned)");
  EXPECT_CLEAN(launch(copy_vector, 1, 1, device_copy(data) + 16, device_array<uint4>(1)));
}

TEST(Initialisation, of_global_memory_is_checked) {
  SKIP_UNLESS_CHECKED();
  EXPECT_REPORT(launch(read_at, 1, 1, device_array<int>(8), 3, device_array<int>(1)), "uninitialised");
  EXPECT_CLEAN(launch(read_at, 1, 1, device_copy(std::vector<int>(8, 1)), 3, device_array<int>(1)));
}

TEST(Initialisation, is_carried_along_by_copies) {
  SKIP_UNLESS_CHECKED();
  const auto copied = [](int* from) {
    int* to = device_array<int>(8);
    cudaMemcpyAsync(to, from, 32, cudaMemcpyDeviceToDevice, nullptr);
    launch(read_at, 1, 1, to, 3, device_array<int>(1));
  };
  EXPECT_REPORT(copied(device_array<int>(8)), "uninitialised");
  EXPECT_CLEAN(copied(device_copy(std::vector<int>(8, 1))));
}

TEST(Initialisation, of_shared_memory_is_checked) {
  SKIP_UNLESS_CHECKED();
  EXPECT_REPORT(launch(unwritten_shared, 1, 16, device_array<int>(16), 15), "uninitialised");
  EXPECT_CLEAN(launch(unwritten_shared, 1, 16, device_array<int>(16), 16));
}

TEST(Initialisation, shows_in_results_without_the_checker) {
  if (kChecked) GTEST_SKIP() << "the checker tells it before";
  int* out = device_array<int>(1);
  launch(read_at, 1, 1, device_array<int>(8), 3, out);
  const int poison = fetch(out, 1).front();
  EXPECT_TRUE(poison == -1 || poison == 0x7f7f7f7f) << poison;
}

TEST(AddressSpace, of_the_host_is_closed_to_kernels) {
  static int on_host = 1;
  EXPECT_REPORT(launch(write_at, 1, 1, &on_host, 0), "bad-pointer");
  if (kChecked) {
    EXPECT_REPORT(launch(read_hidden, 1, 1, Hidden{&host_global}, device_array<int>(1)), "bad-pointer");
  }
  int* pinned = pinned_array<int>(1);
  *pinned = 1;
  EXPECT_CLEAN(launch(read_hidden, 1, 1, Hidden{pinned}, device_array<int>(1)));
}

TEST(Stack, that_is_too_deep_is_told) {
  EXPECT_REPORT(launch(big_frame, 1, 32, device_array<int>(1), 5), "stack-overflow");
}

}  // namespace
}  // namespace ep::emulator::test
