// Streams and events: order where CUDA promises it, and none where it does not.
#include <atomic>
#include <set>
#include <thread>

#include "cuda_emulator/runtime/config.hpp"
#include "cuda_emulator/tests/device_code.hpp"

namespace ep::emulator::test {
namespace {

__global__ void set(int* data, int value) {
  *data = value;
}
__global__ void copy(const int* from, int* to) {
  *to = *from;
}
__global__ void block_order(int* next, int* order) {
  order[atomicAdd(next, 1)] = static_cast<int>(blockIdx.x);
}

/// Writes on one stream, reads on another; `wait` says whether the reader waits for the writer's event.
int read_on_another_stream(bool wait, bool record_too_early = false) {
  cudaStream_t writer = new_stream();
  cudaStream_t reader = new_stream();
  cudaEvent_t written = new_event(cudaEventDisableTiming);
  int* data = device_copy<int>({1});
  int* out = device_copy<int>({0});
  if (record_too_early) cudaEventRecord(written, writer);
  launch_on(writer, set, 1, 1, 0, data, 2);
  if (!record_too_early) cudaEventRecord(written, writer);
  if (wait) cudaStreamWaitEvent(reader, written, 0);
  launch_on(reader, copy, 1, 1, 0, data, out);
  cudaStreamSynchronize(reader);
  return fetch(out, 1).front();
}

class Order : public testing::TestWithParam<StreamOrder> {
 protected:
  void SetUp() override { config().streams = GetParam(); }
};

TEST_P(Order, within_a_stream_is_kept) {
  cudaStream_t stream = new_stream();
  int* data = device_array<int>(1);
  for (int i = 0; i < 50; ++i) launch_on(stream, set, 1, 1, 0, data, i);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(fetch(data, 1).front(), 49);
}

TEST_P(Order, between_streams_follows_events) {
  for (int i = 0; i < 20; ++i) EXPECT_EQ(read_on_another_stream(true), 2);
}

TEST_P(Order, of_a_polled_event_is_reached) {
  cudaStream_t stream = new_stream();
  cudaEvent_t done = new_event();
  launch_on(stream, set, 1, 1, 0, device_array<int>(1), 1);
  cudaEventRecord(done, stream);
  while (cudaEventQuery(done) == cudaErrorNotReady) {
  }
  EXPECT_EQ(cudaStreamQuery(stream), cudaSuccess);
}

TEST_P(Order, moves_on_while_the_host_does_something_else) {
  config().idle_ms = 1;
  static std::atomic<bool> reached;
  reached = false;
  cudaLaunchHostFunc(
      new_stream(), [](void*) { reached = true; }, nullptr);
  while (!reached) std::this_thread::yield();
}

INSTANTIATE_TEST_SUITE_P(All, Order, testing::Values(StreamOrder::random, StreamOrder::eager, StreamOrder::lazy));

TEST(Stream, without_the_wait_shows_the_bug) {
  if (kChecked) {
    EXPECT_REPORT(read_on_another_stream(false), "stream-race");
    EXPECT_REPORT(read_on_another_stream(true, true), "stream-race");
    return;
  }
  std::set<int> seen;
  for (int i = 0; i < 40; ++i) seen.insert(read_on_another_stream(false));
  EXPECT_EQ(seen, (std::set<int>{1, 2})) << "both orders must happen";
}

TEST(Stream, without_a_host_wait_shows_the_bug) {
  const auto read_pinned = [](bool wait) {
    cudaStream_t stream = new_stream();
    int* result = pinned_array<int>(1);
    launch_on(stream, set, 1, 1, 0, result, 5);
    if (wait) cudaStreamSynchronize(stream);
    volatile int seen = *result;
    return seen;
  };
  if (kChecked) {
    EXPECT_REPORT(read_pinned(false), "stream-race");
  } else {
    config().streams = StreamOrder::lazy;
    EXPECT_NE(read_pinned(false), 5);
  }
  EXPECT_CLEAN(read_pinned(true));
}

TEST(Stream, may_read_a_pinned_buffer_late) {
  const auto reuse = [](bool wait) {
    cudaStream_t stream = new_stream();
    int* staging = pinned_array<int>(1);
    *staging = 1;
    cudaMemcpyAsync(device_array<int>(1), staging, 4, cudaMemcpyHostToDevice, stream);
    if (wait) cudaStreamSynchronize(stream);
    *staging = 2;
  };
  if (kChecked) {
    EXPECT_REPORT(reuse(false), "stream-race");
  }
  EXPECT_CLEAN(reuse(true));
}

TEST(Stream, that_was_destroyed_is_not_used) {
  cudaStream_t stream = new_stream();
  int* data = device_array<int>(1);
  launch_on(stream, set, 1, 1, 0, data, 3);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
  cudaDeviceSynchronize();
  EXPECT_EQ(fetch(data, 1).front(), 3);
  EXPECT_REPORT(cudaStreamSynchronize(cudaStream_t(new char[512])), "bad-handle");
}

TEST(Stream, the_default_one_waits_for_blocking_ones) {
  cudaStream_t blocking = nullptr;
  cudaStreamCreate(&blocking);
  for (int i = 0; i < 20; ++i) {
    int* data = device_array<int>(1);
    int* out = device_array<int>(1);
    launch_on(blocking, set, 1, 1, 0, data, i);
    launch(copy, 1, 1, data, out);
    EXPECT_EQ(fetch(out, 1).front(), i);
  }
}

TEST(Event, is_stamped_when_it_is_reached) {
  config().streams = StreamOrder::lazy;
  cudaStream_t stream = new_stream();
  cudaEvent_t start = new_event();
  cudaEvent_t end = new_event();
  cudaEventRecord(start, stream);
  cudaLaunchHostFunc(
      stream, [](void*) { std::this_thread::sleep_for(std::chrono::milliseconds(20)); }, nullptr);
  cudaEventRecord(end, stream);
  float elapsed_ms = 0;
  EXPECT_EQ(cudaEventElapsedTime(&elapsed_ms, start, end), cudaErrorNotReady);
  cudaStreamSynchronize(stream);
  EXPECT_EQ(cudaEventElapsedTime(&elapsed_ms, start, end), cudaSuccess);
  EXPECT_GE(elapsed_ms, 20);
}

TEST(Event, without_timing_has_no_time) {
  cudaEvent_t event = new_event(cudaEventDisableTiming);
  cudaEventRecord(event, nullptr);
  cudaEventSynchronize(event);
  float elapsed_ms = 0;
  EXPECT_EQ(cudaEventElapsedTime(&elapsed_ms, event, event), cudaErrorInvalidResourceHandle);
}

TEST(Event, recorded_again_keeps_earlier_waits) {
  config().streams = StreamOrder::lazy;
  cudaStream_t first = new_stream();
  cudaStream_t second = new_stream();
  cudaEvent_t event = new_event();
  int* data = device_copy<int>({0});
  int* out = device_copy<int>({0});
  launch_on(first, set, 1, 1, 0, data, 1);
  cudaEventRecord(event, first);
  cudaStreamWaitEvent(second, event, 0);
  cudaEventRecord(event, nullptr);
  launch_on(second, copy, 1, 1, 0, data, out);
  cudaDeviceSynchronize();
  EXPECT_EQ(fetch(out, 1).front(), 1);
}

TEST(HostThreads, may_call_at_the_same_time) {
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t, &wrong] {
      cudaStream_t stream = new_stream();
      int* data = device_array<int>(1);
      int* result = pinned_array<int>(1);
      for (int i = 0; i < 20; ++i) {
        launch_on(stream, set, 1, 1, 0, data, 100 * t + i);
        cudaMemcpyAsync(result, data, 4, cudaMemcpyDeviceToHost, stream);
        cudaStreamSynchronize(stream);
        wrong += *result != 100 * t + i;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

/// The order in which 64 blocks ran, as the seed has it, printed for the parent to compare.
void print_order() {
  int* order = device_array<int>(64);
  launch(block_order, 64, 1, device_copy<int>({0}), order);
  for (const int block : fetch(order, 64)) std::fprintf(stderr, "%d ", block);
}

TEST(Seed, decides_the_order) {
  const auto order_of = [](const char* seed) {
    const std::string command =
        std::string("EP_EMU_SEED=") + seed + " " + testing::internal::GetArgvs().front() +
        " --gtest_also_run_disabled_tests --gtest_filter=Seed.DISABLED_print_order 2>&1 >/dev/null";
    FILE* output = popen(command.c_str(), "r");
    std::string text;
    char part[256];
    while (std::fgets(part, sizeof(part), output) != nullptr) text += part;
    pclose(output);
    return text;
  };
  const std::string first = order_of("7");
  EXPECT_GT(first.size(), 100u);
  EXPECT_EQ(first, order_of("7"));
  EXPECT_NE(first, order_of("8"));
}

TEST(Seed, DISABLED_print_order) {
  print_order();
}

TEST(Fault, of_a_launch_is_returned) {
  config().faults.launch = 2;
  int* data = device_array<int>(1);
  EXPECT_EQ(launch(set, 1, 1, data, 1), cudaSuccess);
  EXPECT_EQ(launch(set, 1, 1, data, 1), cudaErrorLaunchOutOfResources);
  EXPECT_EQ(launch(set, 1, 1, data, 1), cudaSuccess);
}

TEST(Fault, of_a_kernel_sticks) {
  config().faults.kernel = 1;
  EXPECT_EXIT(
      {
        config().faults.kernel = 1;
        int* data = device_array<int>(1);
        const bool launched = launch(set, 1, 1, data, 1) == cudaSuccess;
        const bool told = cudaDeviceSynchronize() == cudaErrorLaunchFailure;
        const bool sticks = launch(set, 1, 1, data, 1) == cudaErrorLaunchFailure;
        std::exit(launched && told && sticks ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
  config().faults.kernel = 0;
}

}  // namespace
}  // namespace ep::emulator::test
