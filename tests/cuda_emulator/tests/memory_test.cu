#include <cstring>

#include "cuda_emulator/runtime/config.hpp"
#include "cuda_emulator/runtime/protection.hpp"
#include "cuda_emulator/tests/device_code.hpp"

namespace ep::emulator::test {
namespace {

__global__ void fill(int* data, int count, int value) {
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) data[i] = value;
}

TEST(Memory, is_256_byte_aligned_and_poisoned) {
  for (const std::size_t bytes : {1u, 255u, 4096u, 100000u}) {
    auto* data = device_array<unsigned char>(bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(data) % 256, 0u);
    const unsigned char last = fetch(data, bytes).back();
    EXPECT_TRUE(last == 0xff || last == 0x7f) << int{last};
  }
}

TEST(Memory, refuses_what_does_not_fit) {
  config().device_bytes = 8 << 20;
  std::size_t free = 0;
  std::size_t total = 0;
  cudaMemGetInfo(&free, &total);
  const std::size_t most = free / 3 * 2;
  void* first = nullptr;
  void* second = nullptr;
  EXPECT_EQ(cudaMalloc(&first, most), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&second, most), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_EQ(cudaFree(first), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&second, most), cudaSuccess);
  std::size_t left = 0;
  EXPECT_EQ(cudaMemGetInfo(&left, &total), cudaSuccess);
  EXPECT_EQ(free - left, most);
}

TEST(Memory, fails_at_the_allocation_that_is_asked_for) {
  config().faults.allocation = 2;
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, 16), cudaSuccess);
  EXPECT_EQ(cudaMallocHost(&memory, 16), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaMalloc(&memory, 16), cudaSuccess);
}

TEST(Memory, is_not_used_after_it_was_freed) {
  const auto use_freed = [] {
    int* data = device_array<int>(10);
    cudaFree(data);
    launch(fill, 1, 1, data, 10, 1);
  };
  EXPECT_REPORT(use_freed(), "use-after-free");
}

TEST(Memory, of_the_host_is_freed_without_waiting_for_the_copies_from_it) {
  const auto copy_and_free = [](bool wait) {
    config().streams = StreamOrder::lazy;
    cudaStream_t stream = new_stream();
    int* from = pinned_array<int>(10);
    int* to = device_array<int>(10);
    std::fill_n(from, 10, 1);
    cudaMemcpyAsync(to, from, 40, cudaMemcpyHostToDevice, stream);
    if (wait) cudaStreamSynchronize(stream);
    cudaFreeHost(from);
    cudaStreamSynchronize(stream);
  };
  EXPECT_REPORT(copy_and_free(false), "use-after-free");
  EXPECT_CLEAN(copy_and_free(true));
}

TEST(Memory, is_freed_once_and_by_its_own_allocator) {
  const auto free_twice = [] {
    int* data = device_array<int>(10);
    cudaFree(data);
    cudaFree(data);
  };
  EXPECT_REPORT(free_twice(), "bad-free");
  EXPECT_REPORT(cudaFreeHost(device_array<int>(10)), "bad-free");
  EXPECT_REPORT(cudaFree(device_array<int>(10) + 1), "bad-free");
  EXPECT_REPORT(cudaFreeAsync(device_array<int>(10), nullptr), "bad-free");
  EXPECT_CLEAN(cudaFree(device_array<int>(10)));
}

TEST(Memory, of_the_device_is_closed_to_the_host) {
  if (!kChecked && !device_memory_is_protected()) GTEST_SKIP() << "this processor has no protection keys";
  const auto touch = [](volatile int* data) { data[2] = 1; };
  EXPECT_REPORT(touch(device_array<int>(10)), "host-touches-device");
  EXPECT_CLEAN(touch(pinned_array<int>(10)));
}

TEST(Copy, stays_within_an_allocation) {
  static int host[200];
  EXPECT_REPORT(cudaMemcpy(device_array<int>(100), host, 404, cudaMemcpyHostToDevice), "out-of-bounds");
  EXPECT_CLEAN(cudaMemcpy(device_array<int>(100), host, 400, cudaMemcpyHostToDevice));
  EXPECT_REPORT(cudaMemset(device_array<int>(100) + 1, 0, 400), "out-of-bounds");
}

TEST(Copy, knows_its_direction) {
  int host[4] = {};
  EXPECT_EQ(cudaMemcpy(device_array<int>(4), host, 16, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(device_array<int>(4), host, 16, cudaMemcpyDefault), cudaSuccess);
}

TEST(Copy, of_rows_leaves_the_gaps_alone) {
  int* to = device_copy(std::vector<int>(12, 9));
  const int* from = device_copy<int>({1, 2, 3, 4, 5, 6});
  cudaMemcpy2DAsync(to, 16, from, 8, 8, 3, cudaMemcpyDeviceToDevice, nullptr);
  EXPECT_EQ(fetch(to, 12), (std::vector<int>{1, 2, 9, 9, 3, 4, 9, 9, 5, 6, 9, 9}));
}

TEST(Pool, gives_memory_in_stream_order) {
  cudaStream_t stream = new_stream();
  void* scratch = nullptr;
  ASSERT_EQ(cudaMallocAsync(&scratch, 400, stream), cudaSuccess);
  launch_on(stream, fill, 1, 32, 0, static_cast<int*>(scratch), 100, 3);
  int* out = device_array<int>(100);
  cudaMemcpyAsync(out, scratch, 400, cudaMemcpyDeviceToDevice, stream);
  ASSERT_EQ(cudaFreeAsync(scratch, stream), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(fetch(out, 100), std::vector<int>(100, 3));
}

TEST(Pool, memory_freed_on_the_wrong_stream_is_told) {
  const auto misuse = [] {
    cudaStream_t first = new_stream();
    cudaStream_t second = new_stream();
    void* scratch = nullptr;
    cudaMallocAsync(&scratch, 400, first);
    cudaStreamSynchronize(first);
    launch_on(first, fill, 1, 32, 0, static_cast<int*>(scratch), 100, 3);
    cudaFreeAsync(scratch, second);
  };
  if (!kChecked) GTEST_SKIP() << "only the checked flavour sees this";
  EXPECT_REPORT(misuse(), "(stream-race|use-after-free)");
}

TEST(Pointer, knows_where_it_points) {
  cudaPointerAttributes attributes{};
  cudaPointerGetAttributes(&attributes, device_array<int>(4) + 1);
  EXPECT_EQ(attributes.type, cudaMemoryTypeDevice);
  cudaPointerGetAttributes(&attributes, pinned_array<int>(4));
  EXPECT_EQ(attributes.type, cudaMemoryTypeHost);
  cudaPointerGetAttributes(&attributes, &attributes);
  EXPECT_EQ(attributes.type, cudaMemoryTypeUnregistered);
}

}  // namespace
}  // namespace ep::emulator::test
