// NCCL over MPI: run whole by every rank, for several rank counts.
#include <numeric>

#include "cuda_emulator/runtime/config.hpp"
#include "cuda_emulator/tests/nccl_world.hpp"

namespace ep::emulator::test {
namespace {

__global__ void add_one(int* data, int count) {
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) data[i] += 1;
}

/// What rank `from` sends to rank `to`: `from + 2 * to` numbers (rank 0 sends itself none).
std::vector<int> message(int from, int to) {
  std::vector<int> values(static_cast<std::size_t>(from + 2 * to));
  std::iota(values.begin(), values.end(), 1000 * from + 100 * to);
  return values;
}

/// All messages of a rank, one behind the other, with their first places.
struct Packed {
  std::vector<int> values;
  std::vector<std::size_t> offsets{0};

  void append(const std::vector<int>& more) {
    values.insert(values.end(), more.begin(), more.end());
    offsets.push_back(values.size());
  }
  std::size_t count(int peer) const {
    return offsets[static_cast<std::size_t>(peer) + 1] - offsets[static_cast<std::size_t>(peer)];
  }
};

struct Exchange {
  Packed sent;
  Packed received;
  int* send = nullptr;
  int* receive = nullptr;

  Exchange() {
    for (int peer = 0; peer < world_size(); ++peer) sent.append(message(world_rank(), peer));
    for (int peer = 0; peer < world_size(); ++peer) received.append(message(peer, world_rank()));
    sent.values.push_back(0);  // so that no array is empty
    received.values.push_back(0);
    send = device_copy(sent.values);
    receive = device_copy(std::vector<int>(received.values.size(), 0));
  }

  ncclResult_t enqueue(ncclComm_t comm, cudaStream_t stream) const {
    ncclGroupStart();
    for (int peer = 0; peer < world_size(); ++peer) {
      const auto at = static_cast<std::size_t>(peer);
      if (sent.count(peer) > 0) ncclSend(send + sent.offsets[at], sent.count(peer), ncclInt32, peer, comm, stream);
      if (received.count(peer) > 0) {
        ncclRecv(receive + received.offsets[at], received.count(peer), ncclInt32, peer, comm, stream);
      }
    }
    const ncclResult_t result = ncclGroupEnd();
    return result == ncclInProgress ? settle(comm) : result;
  }
};

class Nccl : public testing::TestWithParam<bool> {
 protected:
  bool blocking() const { return GetParam(); }
};

TEST_P(Nccl, knows_ranks_and_count) {
  const ncclComm_t comm = new_communicator(blocking());
  int count = 0;
  int rank = -1;
  EXPECT_EQ(ncclCommCount(comm, &count), ncclSuccess);
  EXPECT_EQ(ncclCommUserRank(comm, &rank), ncclSuccess);
  EXPECT_EQ(count, world_size());
  EXPECT_EQ(rank, world_rank());
  end(comm);
}

TEST_P(Nccl, exchanges_different_counts) {
  const ncclComm_t comm = new_communicator(blocking());
  cudaStream_t stream = new_stream();
  for (int i = 0; i < 5; ++i) {
    const Exchange exchange;
    ASSERT_EQ(exchange.enqueue(comm, stream), ncclSuccess);
    ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    EXPECT_EQ(fetch(exchange.receive, exchange.received.values.size()), exchange.received.values);
  }
  end(comm);
}

TEST_P(Nccl, keeps_the_order_of_exchanges_not_waited_for) {
  const ncclComm_t comm = new_communicator(blocking());
  cudaStream_t stream = new_stream();
  const Exchange exchange;
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(exchange.enqueue(comm, stream), ncclSuccess);
    launch_on(stream, add_one, 1, 32, 0, exchange.send, static_cast<int>(exchange.sent.values.size()));
  }
  MPI_Barrier(MPI_COMM_WORLD);  // streams move on while the host waits here
  cudaStreamSynchronize(stream);
  std::vector<int> expected = exchange.received.values;
  for (int& value : expected) value += 4;
  expected.back() = 0;
  EXPECT_EQ(fetch(exchange.receive, expected.size()), expected);
  end(comm);
}

TEST_P(Nccl, transposes_by_alltoall) {
  const ncclComm_t comm = new_communicator(blocking());
  cudaStream_t stream = new_stream();
  const auto ranks = static_cast<std::size_t>(world_size());
  std::vector<int> sent(3 * ranks);
  std::iota(sent.begin(), sent.end(), 100 * world_rank());
  int* receive = device_array<int>(3 * ranks);
  const ncclResult_t result = ncclAlltoAll(device_copy(sent), receive, 3, ncclInt32, comm, stream);
  ASSERT_EQ(result == ncclInProgress ? settle(comm) : result, ncclSuccess);
  cudaStreamSynchronize(stream);
  const std::vector<int> got = fetch(receive, 3 * ranks);
  for (int peer = 0; peer < world_size(); ++peer) {
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(got[static_cast<std::size_t>(3 * peer + i)], 100 * peer + 3 * world_rank() + i);
    }
  }
  end(comm);
}

TEST_P(Nccl, splits) {
  const ncclComm_t comm = new_communicator(blocking());
  ncclComm_t part = nullptr;
  const int color = world_rank() == 0 ? NCCL_SPLIT_NOCOLOR : world_rank() % 2;
  const ncclResult_t result = ncclCommSplit(comm, color, -world_rank(), &part, nullptr);
  EXPECT_EQ(result == ncclInProgress ? settle(comm) : result, ncclSuccess);
  EXPECT_EQ(part == nullptr, world_rank() == 0);
  if (part != nullptr) {
    EXPECT_EQ(settle(part), ncclSuccess);  // of its own
    int count = 0;
    int rank = -1;
    ncclCommCount(part, &count);
    ncclCommUserRank(part, &rank);
    EXPECT_EQ(count, color == 1 ? world_size() / 2 : (world_size() - 1) / 2);
    EXPECT_EQ(rank, count - 1 - (world_rank() - 1) / 2) << "the keys turn the order round";
    end(part);
  }
  end(comm);
}

TEST_P(Nccl, exchange_is_captured_and_replayed) {
  const ncclComm_t comm = new_communicator(blocking());
  cudaStream_t stream = new_stream();
  const Exchange exchange;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
  ASSERT_EQ(exchange.enqueue(comm, stream), ncclSuccess);
  launch_on(stream, add_one, 1, 32, 0, exchange.send, static_cast<int>(exchange.sent.values.size()));
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
  for (int i = 0; i < 3; ++i) cudaGraphLaunch(exec, stream);
  cudaStreamSynchronize(stream);
  std::vector<int> expected = exchange.received.values;
  for (int& value : expected) value += 2;
  expected.back() = 0;
  EXPECT_EQ(fetch(exchange.receive, expected.size()), expected);
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
  end(comm);
}

TEST_P(Nccl, registers_its_memory) {
  const ncclComm_t comm = new_communicator(blocking());
  void* memory = nullptr;
  void* handle = nullptr;
  ASSERT_EQ(ncclMemAlloc(&memory, 1000), ncclSuccess);
  EXPECT_EQ(ncclCommRegister(comm, memory, 1000, &handle), ncclSuccess);
  EXPECT_NE(handle, nullptr);
  EXPECT_EQ(ncclCommDeregister(comm, handle), ncclSuccess);
  EXPECT_EQ(ncclCommDeregister(comm, handle), ncclInvalidArgument);
  config().refuse_registration = true;
  EXPECT_EQ(ncclCommRegister(comm, memory, 1000, &handle), ncclSuccess);
  EXPECT_EQ(handle, nullptr);
  config().refuse_registration = false;
  EXPECT_EQ(ncclMemFree(memory), ncclSuccess);
  end(comm);
}

TEST_P(Nccl, abort_ends_what_nobody_answers) {
  const ncclComm_t comm = new_communicator(blocking());
  cudaStream_t stream = new_stream();
  const ncclResult_t result = ncclRecv(device_array<int>(4), 4, ncclInt32, world_rank(), comm, stream);
  EXPECT_EQ(result == ncclInProgress ? settle(comm) : result, ncclSuccess);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(cudaStreamQuery(stream), cudaErrorNotReady);
  EXPECT_EQ(ncclCommAbort(comm), ncclSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
}

INSTANTIATE_TEST_SUITE_P(Each, Nccl, testing::Bool(),
                         [](const auto& each) { return each.param ? "blocking" : "nonblocking"; });

TEST(NcclFault, is_returned) {
  config().faults.nccl = 1;
  void* memory = nullptr;
  EXPECT_EQ(ncclMemAlloc(&memory, 1000), ncclUnhandledCudaError);
  config().faults = {};
}

TEST(NcclFault, comes_asynchronously) {
  const ncclComm_t comm = new_communicator(false);
  config().faults.nccl_async = 1;
  cudaStream_t stream = new_stream();
  ncclResult_t state = ncclSend(device_array<int>(4), 4, ncclInt32, world_rank(), comm, stream);
  while (state == ncclSuccess || state == ncclInProgress) ncclCommGetAsyncError(comm, &state);
  EXPECT_EQ(cudaStreamQuery(stream), cudaErrorNotReady);
  EXPECT_EQ(state, ncclRemoteError);
  EXPECT_EQ(ncclCommAbort(comm), ncclSuccess);
  config().faults = {};
}

TEST(Mpi, receives_into_pinned_memory) {
  int* data = pinned_array<int>(2);
  data[0] = world_rank();
  const int next = (world_rank() + 1) % world_size();
  const int previous = (world_rank() + world_size() - 1) % world_size();
  MPI_Request requests[2];
  MPI_Irecv(data + 1, 1, MPI_INT, previous, 0, MPI_COMM_WORLD, &requests[0]);
  MPI_Isend(data, 1, MPI_INT, next, 0, MPI_COMM_WORLD, &requests[1]);
  MPI_Waitall(2, requests, MPI_STATUSES_IGNORE);
  EXPECT_EQ(data[1], previous);
}

}  // namespace
}  // namespace ep::emulator::test

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  testing::InitGoogleTest(&argc, argv);
  int failed = RUN_ALL_TESTS();
  MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
  MPI_Finalize();
  return failed;
}
