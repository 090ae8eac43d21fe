#include "cuda_emulator/tests/device_code.hpp"

namespace ep::emulator::test {
namespace {

__global__ void add(int* data, int value) {
  *data += value;
}
__global__ void twice(const int* from, int* to) {
  *to = 2 * *from;
}

/// A fork and a join: `main` adds 1 to data, `side` doubles it into out, `main` adds out to sum.
struct Forked {
  cudaStream_t main = new_stream();
  cudaStream_t side = new_stream();
  cudaEvent_t fork = new_event(cudaEventDisableTiming);
  cudaEvent_t joined = new_event(cudaEventDisableTiming);
  int* data = device_copy<int>({0});
  int* out = device_copy<int>({0});

  cudaGraph_t capture(bool join = true, bool wait = true) const {
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamBeginCapture(main, cudaStreamCaptureModeGlobal), cudaSuccess);
    cudaEventRecord(fork, main);
    cudaStreamWaitEvent(side, fork, 0);
    EXPECT_EQ(launch_on(main, add, 1, 1, 0, data, 1), cudaSuccess);
    if (wait) {
      cudaEventRecord(fork, main);
      cudaStreamWaitEvent(side, fork, 0);
    }
    EXPECT_EQ(launch_on(side, twice, 1, 1, 0, data, out), cudaSuccess);
    cudaEventRecord(joined, side);
    if (join) cudaStreamWaitEvent(main, joined, 0);
    EXPECT_EQ(cudaStreamEndCapture(main, &graph), join ? cudaSuccess : cudaErrorStreamCaptureUnjoined);
    return graph;
  }
};

cudaGraphExec_t instantiate(cudaGraph_t graph) {
  cudaGraphExec_t exec = nullptr;
  EXPECT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  return exec;
}

TEST(Graph, runs_at_its_launches_only) {
  const Forked forked;
  const cudaGraphExec_t exec = instantiate(forked.capture());
  cudaDeviceSynchronize();
  EXPECT_EQ(fetch(forked.data, 1).front(), 0);
  for (int i = 1; i <= 10; ++i) {
    ASSERT_EQ(cudaGraphLaunch(exec, forked.main), cudaSuccess);
    ASSERT_EQ(cudaStreamSynchronize(forked.main), cudaSuccess);
    EXPECT_EQ(fetch(forked.out, 1).front(), 2 * i);
  }
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
}

TEST(Graph, launches_keep_the_order_of_their_stream) {
  const Forked forked;
  const cudaGraphExec_t exec = instantiate(forked.capture());
  for (int i = 0; i < 10; ++i) cudaGraphLaunch(exec, forked.main);
  launch_on(forked.main, add, 1, 1, 0, forked.out, 5);
  cudaStreamSynchronize(forked.main);
  EXPECT_EQ(fetch(forked.out, 1).front(), 25);
}

TEST(Graph, that_lacks_a_wait_is_told) {
  if (!kChecked) GTEST_SKIP() << "only the checked flavour sees this";
  const auto replay = [] {
    const Forked forked;
    cudaGraphLaunch(instantiate(forked.capture(true, false)), forked.main);
  };
  EXPECT_REPORT(replay(), "stream-race");
}

TEST(Graph, must_be_joined) {
  EXPECT_EQ(Forked{}.capture(false), nullptr);
}

TEST(Graph, records_external_events_at_each_launch) {
  cudaStream_t stream = new_stream();
  cudaEvent_t start = new_event();
  cudaEvent_t end = new_event();
  cudaGraph_t graph = nullptr;
  int* data = device_copy<int>({0});
  cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
  EXPECT_EQ(cudaEventRecordWithFlags(start, stream, cudaEventRecordExternal), cudaSuccess);
  launch_on(stream, add, 1, 1, 0, data, 1);
  cudaEventRecordWithFlags(end, stream, cudaEventRecordExternal);
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  const cudaGraphExec_t exec = instantiate(graph);
  float elapsed_ms = -1;
  EXPECT_EQ(cudaEventElapsedTime(&elapsed_ms, start, end), cudaErrorInvalidResourceHandle);
  for (int i = 0; i < 3; ++i) {
    cudaGraphLaunch(exec, stream);
    EXPECT_EQ(cudaEventSynchronize(end), cudaSuccess);
    EXPECT_EQ(cudaEventElapsedTime(&elapsed_ms, start, end), cudaSuccess);
    EXPECT_GE(elapsed_ms, 0);
  }
}

/// What `graph` leaves in `data` after each of three launches must be what one run without it would.
TEST(Graph, has_memory_of_its_own) {
  cudaStream_t stream = new_stream();
  int* data = device_copy<int>({20});
  int* out = device_copy<int>({0});
  int* scratch = nullptr;
  cudaGraph_t graph = nullptr;
  cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
  ASSERT_EQ(cudaMallocAsync(&scratch, sizeof(int), stream), cudaSuccess);
  launch_on(stream, twice, 1, 1, 0, data, scratch);
  launch_on(stream, twice, 1, 1, 0, scratch, out);
  ASSERT_EQ(cudaFreeAsync(scratch, stream), cudaSuccess);
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  const cudaGraphExec_t exec = instantiate(graph);
  for (int i = 0; i < 3; ++i) {
    launch_on(stream, add, 1, 1, 0, data, 1);
    ASSERT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
    ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    EXPECT_EQ(fetch(out, 1).front(), 4 * (21 + i));
  }
  ASSERT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
}

TEST(Graph, memory_is_lost_when_freed) {
  if (!kChecked) GTEST_SKIP() << "only the checked flavour sees this";
  const auto replay = [] {
    cudaStream_t stream = new_stream();
    int* out = device_copy<int>({0});
    int* scratch = nullptr;
    cudaGraph_t graph = nullptr;
    cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
    cudaMallocAsync(&scratch, sizeof(int), stream);
    launch_on(stream, twice, 1, 1, 0, out, scratch);
    cudaFreeAsync(scratch, stream);
    launch_on(stream, twice, 1, 1, 0, scratch, out);
    cudaStreamEndCapture(stream, &graph);
    cudaGraphLaunch(instantiate(graph), stream);
  };
  EXPECT_REPORT(replay(), "uninitialised");
}

TEST(Graph, may_be_destroyed_while_it_runs) {
  const Forked forked;
  const cudaGraphExec_t exec = instantiate(forked.capture());
  ASSERT_EQ(cudaGraphLaunch(exec, forked.main), cudaSuccess);
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(forked.main), cudaSuccess);
  EXPECT_EQ(fetch(forked.out, 1).front(), 2);
}

TEST(Capture, forbids_what_waits_or_allocates) {
  cudaStream_t stream = new_stream();
  const auto broken_by = [stream](auto call, cudaError_t error) {
    cudaGraph_t graph = nullptr;
    cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal);
    EXPECT_EQ(call(), error);
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
  };
  void* memory = nullptr;
  broken_by([&] { return cudaMalloc(&memory, 16); }, cudaErrorStreamCaptureUnsupported);
  broken_by([&] { return cudaStreamSynchronize(stream); }, cudaErrorStreamCaptureUnsupported);
  broken_by([&] { return cudaDeviceSynchronize(); }, cudaErrorStreamCaptureUnsupported);
  cudaEvent_t outside = new_event();
  cudaEventRecord(outside, nullptr);
  broken_by([&] { return cudaStreamWaitEvent(stream, outside, 0); }, cudaErrorStreamCaptureIsolation);
  broken_by([&] { return cudaEventQuery(outside); }, cudaErrorStreamCaptureUnsupported);
  broken_by([&] { return cudaEventSynchronize(outside); }, cudaErrorStreamCaptureUnsupported);
}

TEST(Capture, allows_a_relaxed_thread_to_allocate) {
  cudaStream_t stream = new_stream();
  cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
  cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  ASSERT_EQ(cudaThreadExchangeStreamCaptureMode(&mode), cudaSuccess);
  EXPECT_EQ(mode, cudaStreamCaptureModeGlobal);
  void* memory = nullptr;
  EXPECT_EQ(cudaMallocHost(&memory, 16), cudaSuccess);
  cudaThreadExchangeStreamCaptureMode(&mode);
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  EXPECT_EQ(cudaFreeHost(memory), cudaSuccess);
}

TEST(Capture, is_seen_from_the_stream) {
  cudaStream_t stream = new_stream();
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusActive;
  cudaStreamIsCapturing(stream, &status);
  EXPECT_EQ(status, cudaStreamCaptureStatusNone);
  cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed);
  EXPECT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), cudaErrorIllegalState);
  cudaStreamIsCapturing(stream, &status);
  EXPECT_EQ(status, cudaStreamCaptureStatusActive);
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
}

}  // namespace
}  // namespace ep::emulator::test
