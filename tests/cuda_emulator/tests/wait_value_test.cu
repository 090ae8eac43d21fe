// Streams that wait for a value in pinned memory, which a host thread stores.
#include <atomic>
#include <chrono>
#include <thread>

#include <cuda.h>

#include "cuda_emulator/runtime/config.hpp"
#include "cuda_emulator/tests/device_code.hpp"

namespace ep::emulator::test {
namespace {

__global__ void copy(const int* from, int* to) {
  *to = *from;
}

using WaitValue = decltype(&cuStreamWaitValue32);

WaitValue find(const char* name, unsigned version, cudaDriverEntryPointQueryResult& result) {
  void* function = nullptr;
  EXPECT_EQ(cudaGetDriverEntryPointByVersion(name, &function, version, cudaEnableDefault, &result), cudaSuccess);
  return reinterpret_cast<WaitValue>(function);
}

CUresult wait_for(cudaStream_t stream, const std::uint32_t* at, std::uint32_t value,
                  unsigned flags = CU_STREAM_WAIT_VALUE_GEQ) {
  cudaDriverEntryPointQueryResult result{};
  return find("cuStreamWaitValue32", 12000, result)(stream, reinterpret_cast<CUdeviceptr>(at), value, flags);
}

void store(std::uint32_t* at, std::uint32_t value) {
  std::atomic_ref(*at).store(value, std::memory_order_release);
}

std::uint32_t* new_number(std::uint32_t value = 0) {
  auto* number = pinned_array<std::uint32_t>(1);
  store(number, value);
  return number;
}

class WaitValueOrder : public testing::TestWithParam<StreamOrder> {
 protected:
  void SetUp() override { config().streams = GetParam(); }
};

/// What a host thread writes before it stores the number is what the stream reads behind its wait, and no earlier.
TEST_P(WaitValueOrder, holds_the_stream_until_another_thread_stores_it) {
  for (std::uint32_t call = 1; call <= 5; ++call) {
    cudaStream_t stream = new_stream();
    std::uint32_t* number = new_number(call - 1);
    int* data = pinned_array<int>(1);
    int* out = device_array<int>(1);
    cudaEvent_t reached = new_event();
    ASSERT_EQ(wait_for(stream, number, call), CUDA_SUCCESS);
    launch_on(stream, copy, 1, 1, 0, data, out);
    cudaEventRecord(reached, stream);
    for (int i = 0; i < 20; ++i) EXPECT_EQ(cudaEventQuery(reached), cudaErrorNotReady);
    std::thread host([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      *data = static_cast<int>(100 + call);
      store(number, call);
    });
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    host.join();
    EXPECT_EQ(fetch(out, 1).front(), static_cast<int>(100 + call));
  }
}

/// The thread waits for one event of the stream after another, as the stream waits for its numbers.
TEST_P(WaitValueOrder, and_a_thread_take_turns) {
  constexpr std::uint32_t kCalls = 10;
  cudaStream_t stream = new_stream();
  std::uint32_t* number = new_number();
  int* data = pinned_array<int>(1);
  std::vector<cudaEvent_t> events;
  std::vector<int*> seen;
  *data = 0;
  for (std::uint32_t call = 1; call <= kCalls; ++call) {
    events.push_back(new_event(cudaEventDisableTiming));
    seen.push_back(device_array<int>(1));
    cudaEventRecord(events.back(), stream);
    wait_for(stream, number, call);
    launch_on(stream, copy, 1, 1, 0, data, seen.back());
  }
  std::thread host([&] {
    for (std::uint32_t call = 1; call <= kCalls; ++call) {
      cudaEventSynchronize(events[call - 1]);
      *data = static_cast<int>(call);
      store(number, call);
    }
  });
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  host.join();
  for (std::uint32_t call = 1; call <= kCalls; ++call)
    EXPECT_EQ(fetch(seen[call - 1], 1).front(), static_cast<int>(call));
}

INSTANTIATE_TEST_SUITE_P(All, WaitValueOrder,
                         testing::Values(StreamOrder::random, StreamOrder::eager, StreamOrder::lazy));

TEST(WaitValue, compares_as_asked) {
  cudaStream_t stream = new_stream();
  EXPECT_EQ(wait_for(stream, new_number(3), 2), CUDA_SUCCESS);
  EXPECT_EQ(wait_for(stream, new_number(1), 0xfffffff0u), CUDA_SUCCESS);  // modulo 2^32
  EXPECT_EQ(wait_for(stream, new_number(7), 7, CU_STREAM_WAIT_VALUE_EQ), CUDA_SUCCESS);
  EXPECT_EQ(wait_for(stream, new_number(6), 2, CU_STREAM_WAIT_VALUE_AND), CUDA_SUCCESS);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
}

TEST(WaitValue, is_refused_where_it_cannot_be) {
  cudaStream_t stream = new_stream();
  const auto* odd = reinterpret_cast<const std::uint32_t*>(reinterpret_cast<const char*>(new_number()) + 1);
  EXPECT_EQ(wait_for(stream, odd, 0), CUDA_ERROR_INVALID_VALUE);
  config().stream_wait_values = false;
  EXPECT_EQ(wait_for(stream, new_number(), 0), CUDA_ERROR_NOT_SUPPORTED);
}

TEST(WaitValue, is_found_by_name_and_version) {
  cudaDriverEntryPointQueryResult result{};
  EXPECT_EQ(find("cuNothing", 12000, result), nullptr);
  EXPECT_EQ(result, cudaDriverEntryPointSymbolNotFound);
  EXPECT_EQ(find("cuStreamWaitValue32", 8000, result), nullptr);
  EXPECT_EQ(result, cudaDriverEntryPointVersionNotSufficent);
  EXPECT_NE(find("cuStreamWaitValue32", 12000, result), nullptr);
  EXPECT_EQ(result, cudaDriverEntryPointSuccess);
  void* function = nullptr;
  EXPECT_EQ(cudaGetDriverEntryPointByVersion("cuStreamWaitValue32", &function, 99000, 0, nullptr),
            cudaErrorInvalidValue);
}

TEST(WaitValue, is_not_answered_by_memory_that_goes) {
  EXPECT_REPORT(
      {
        std::uint32_t* number = new_number();
        cudaStream_t stream = new_stream();
        wait_for(stream, number, 1);
        cudaFreeHost(number);
        cudaStreamSynchronize(stream);
      },
      "use-after-free");
  EXPECT_REPORT(wait_for(new_stream(), nullptr, 1), "bad-pointer");
}

TEST(WaitValue, that_never_comes_is_a_deadlock) {
  EXPECT_REPORT(
      {
        config().timeout_s = 0.2;
        wait_for(new_stream(), new_number(), 1);
      },
      "deadlock");
}

/// The host thread writes `data` and stores the number; a kernel reads it, behind the wait or on another stream.
void read_written(bool behind_the_wait, bool stored_last = true) {
  cudaStream_t waiting = new_stream();
  cudaStream_t other = new_stream();
  std::uint32_t* number = new_number();
  int* data = pinned_array<int>(1);
  wait_for(waiting, number, 1);
  launch_on(behind_the_wait ? waiting : other, copy, 1, 1, 0, data, device_array<int>(1));
  if (!stored_last) store(number, 1);
  *data = 1;
  if (stored_last) store(number, 1);
}

TEST(WaitValue, orders_what_is_behind_it_and_nothing_else) {
  EXPECT_CLEAN(read_written(true));
  if (!kChecked) return;
  EXPECT_REPORT(read_written(false), "(stream-race|uninitialised)");
  EXPECT_REPORT(read_written(true, false), "(stream-race|uninitialised)");
}

}  // namespace
}  // namespace ep::emulator::test
