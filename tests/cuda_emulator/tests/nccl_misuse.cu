// Misuse of NCCL and MPI, one case a run: two ranks, of which one must end with a report. Without a case's bug
// (`clean` as second argument) both end well. ctest reads what it prints.
#include <string>

#include "cuda_emulator/tests/misuse.hpp"
#include "cuda_emulator/tests/nccl_world.hpp"

namespace ep::emulator::test {
namespace {

__global__ void set_all(int* data, int count, int value) {
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) data[i] = value;
}

struct Pair {
  ncclComm_t comm;
  cudaStream_t stream = new_stream();
  int* send = device_copy(std::vector<int>(64, 1));
  int* receive = device_copy(std::vector<int>(64, 0));
  int peer = 1 - world_rank();

  explicit Pair(bool blocking = true) : comm(new_communicator(blocking)) {}

  ncclResult_t exchange(std::size_t sent = 64) const {
    ncclGroupStart();
    ncclSend(send, sent, ncclInt32, peer, comm, stream);
    ncclRecv(receive, 64, ncclInt32, peer, comm, stream);
    return ncclGroupEnd();
  }
};

void mismatched_counts(bool buggy) {
  const Pair pair;
  pair.exchange(buggy && world_rank() == 0 ? 63 : 64);
  cudaStreamSynchronize(pair.stream);
  end(pair.comm);
}

void missing_group(bool buggy) {
  const Pair pair;
  if (!buggy) ncclGroupStart();
  ncclSend(pair.send, 64, ncclInt32, pair.peer, pair.comm, pair.stream);
  ncclRecv(pair.receive, 64, ncclInt32, pair.peer, pair.comm, pair.stream);
  if (!buggy) ncclGroupEnd();
  cudaStreamSynchronize(pair.stream);
  end(pair.comm);
}

/// Goes on until a call answers ncclInProgress, and then does something on the stream at once.
void early_consumer(bool buggy) {
  const Pair pair(false);
  for (int i = 0; i < 30; ++i) {
    const ncclResult_t result = pair.exchange();
    if (!buggy) settle(pair.comm);
    if (buggy || result == ncclSuccess) cudaEventRecord(new_event(), pair.stream);
  }
  cudaStreamSynchronize(pair.stream);
  end(pair.comm);
}

void early_call(bool buggy) {
  const Pair pair(false);
  for (int i = 0; i < 30; ++i) {
    pair.exchange();
    if (!buggy) settle(pair.comm);
  }
  cudaStreamSynchronize(pair.stream);
  end(pair.comm);
}

void unordered_consumer(bool buggy) {
  const Pair pair;
  cudaStream_t consumer = new_stream();
  cudaEvent_t arrived = new_event();
  pair.exchange();
  cudaEventRecord(arrived, pair.stream);
  if (!buggy) cudaStreamWaitEvent(consumer, arrived, 0);
  launch_on(consumer, set_all, 1, 32, 0, pair.receive, 64, 2);
  cudaDeviceSynchronize();
  end(pair.comm);
}

void graph_outlives_communicator(bool buggy) {
  const Pair pair;
  cudaGraph_t graph = nullptr;
  cudaStreamBeginCapture(pair.stream, cudaStreamCaptureModeThreadLocal);
  pair.exchange();
  cudaStreamEndCapture(pair.stream, &graph);
  if (!buggy) cudaGraphDestroy(graph);
  end(pair.comm);
}

/// A communicator whose exchange nobody answers is aborted: that must not wait for a graph.
void graph_outlives_abort(bool buggy) {
  const Pair pair;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  cudaStreamBeginCapture(pair.stream, cudaStreamCaptureModeThreadLocal);
  ncclRecv(pair.receive, 64, ncclInt32, pair.peer, pair.comm, pair.stream);
  cudaStreamEndCapture(pair.stream, &graph);
  cudaGraphInstantiate(&exec, graph, 0);
  cudaGraphDestroy(graph);
  cudaGraphLaunch(exec, pair.stream);
  if (!buggy) cudaGraphExecDestroy(exec);
  ncclCommAbort(pair.comm);
  cudaStreamSynchronize(pair.stream);
}

void registered_memory_is_freed(bool buggy) {
  const Pair pair;
  void* memory = nullptr;
  void* handle = nullptr;
  ncclMemAlloc(&memory, 256);
  ncclCommRegister(pair.comm, memory, 256, &handle);
  if (!buggy) ncclCommDeregister(pair.comm, handle);
  ncclMemFree(memory);
  end(pair.comm);
}

void mpi_sends_unfinished_data(bool buggy) {
  cudaStream_t stream = new_stream();
  int* staging = pinned_array<int>(64);
  int* received = pinned_array<int>(64);
  for (int i = 0; i < 64; ++i) staging[i] = 4;
  launch_on(stream, set_all, 1, 32, 0, staging, 64, 5);
  if (!buggy) cudaStreamSynchronize(stream);
  const int peer = 1 - world_rank();
  MPI_Sendrecv(staging, 64, MPI_INT, peer, 0, received, 64, MPI_INT, peer, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  cudaDeviceSynchronize();
}

/// Enqueues the copy of what MPI is still receiving.
void device_reads_unfinished_receive(bool buggy) {
  cudaStream_t stream = new_stream();
  int* sent = pinned_array<int>(64);
  int* received = pinned_array<int>(64);
  for (int i = 0; i < 64; ++i) sent[i] = i;
  const int peer = 1 - world_rank();
  MPI_Request requests[2];
  MPI_Irecv(received, 64, MPI_INT, peer, 0, MPI_COMM_WORLD, &requests[0]);
  MPI_Isend(sent, 64, MPI_INT, peer, 0, MPI_COMM_WORLD, &requests[1]);
  if (!buggy) MPI_Waitall(2, requests, MPI_STATUSES_IGNORE);
  cudaMemcpyAsync(device_array<int>(64), received, 256, cudaMemcpyHostToDevice, stream);
  if (buggy) MPI_Waitall(2, requests, MPI_STATUSES_IGNORE);
  cudaDeviceSynchronize();
}

void mpi_is_given_device_memory(bool buggy) {
  const int peer = 1 - world_rank();
  int* data = buggy ? device_copy(std::vector<int>(2, 1)) : pinned_array<int>(2);
  if (!buggy) data[0] = 1;
  MPI_Sendrecv(data, 1, MPI_INT, peer, 0, data + 1, 1, MPI_INT, peer, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

/// With EP_EMU_ABSENT one rank never reaches its second exchange, and the other's wait ends by the time-out.
void waits_for_the_absent(bool) {
  const Pair pair;
  pair.exchange();
  pair.exchange();
  cudaStreamSynchronize(pair.stream);
}

/// Both ranks on one GPU (EP_EMU_UUIDS): NCCL refuses that.
void two_ranks_share_a_device(bool) {
  cudaSetDevice(world_rank());
  ncclUniqueId id{};
  if (world_rank() == 0) ncclGetUniqueId(&id);
  MPI_Bcast(&id, sizeof(id), MPI_BYTE, 0, MPI_COMM_WORLD);
  ncclComm_t comm = nullptr;
  if (ncclCommInitRank(&comm, 2, id, world_rank()) == ncclInvalidUsage) std::puts("refused as NCCL does");
}

/// Whether the environment was ready for it is asked for by EP_EMU_EXPECT_EAGER, in MPI_Init already.
void starts_cuda(bool) {
  cudaSetDevice(0);
}

const Cases kCases{{"mismatched_counts", mismatched_counts},
                   {"missing_group", missing_group},
                   {"early_consumer", early_consumer},
                   {"early_call", early_call},
                   {"unordered_consumer", unordered_consumer},
                   {"graph_outlives_communicator", graph_outlives_communicator},
                   {"graph_outlives_abort", graph_outlives_abort},
                   {"registered_memory_is_freed", registered_memory_is_freed},
                   {"mpi_sends_unfinished_data", mpi_sends_unfinished_data},
                   {"device_reads_unfinished_receive", device_reads_unfinished_receive},
                   {"mpi_is_given_device_memory", mpi_is_given_device_memory},
                   {"waits_for_the_absent", waits_for_the_absent},
                   {"two_ranks_share_a_device", two_ranks_share_a_device},
                   {"starts_cuda", starts_cuda}};

}  // namespace
}  // namespace ep::emulator::test

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  const bool buggy = argc < 3 || std::string(argv[2]) != "clean";
  ep::emulator::test::Cases cases = ep::emulator::test::aware_mpi_cases();
  cases.insert(ep::emulator::test::kCases.begin(), ep::emulator::test::kCases.end());
  cases.at(argv[1])(buggy);
  MPI_Finalize();
  std::puts("ended well");
  return 0;
}
