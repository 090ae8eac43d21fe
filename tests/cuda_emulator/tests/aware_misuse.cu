// Misuse of a CUDA-aware MPI (EP_EMU_CUDA_AWARE=1): what nccl_misuse.cu runs when it is given these names.
#include <atomic>

#include <cuda.h>
#include <mpi.h>

#include "cuda_emulator/tests/misuse.hpp"
#include "cuda_emulator/tests/nccl_world.hpp"

namespace ep::emulator::test {
namespace {

constexpr int kCount = 64;

__global__ void set_all(int* data, int count, int value) {
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) data[i] = value;
}

/// Rows of this rank and of the other, in device memory, filled on a stream of their own.
struct Rows {
  cudaStream_t stream = new_stream();
  int* send = device_copy(std::vector<int>(kCount, 4));
  int* receive = device_array<int>(kCount);
  int peer = 1 - world_rank();

  Rows() { launch_on(stream, set_all, 1, 32, 0, send, kCount, 5); }

  void exchange(int sent = kCount) const {
    MPI_Request requests[2];
    MPI_Irecv(receive, kCount, MPI_INT, peer, 0, MPI_COMM_WORLD, &requests[0]);
    MPI_Isend(send, sent, MPI_INT, peer, 0, MPI_COMM_WORLD, &requests[1]);
    MPI_Waitall(2, requests, MPI_STATUSES_IGNORE);
  }
};

void aware_clean_exchange(bool) {
  const Rows rows;
  cudaStreamSynchronize(rows.stream);
  rows.exchange();
  if (fetch(rows.receive, kCount) != std::vector<int>(kCount, 5)) std::puts("wrong rows");
}

void aware_sends_unfinished_rows(bool buggy) {
  const Rows rows;
  if (!buggy) cudaStreamSynchronize(rows.stream);
  rows.exchange();
  cudaDeviceSynchronize();
}

/// The send buffer is packed anew while MPI still sends from it.
void aware_rows_change_under_way(bool buggy) {
  const Rows rows;
  cudaStreamSynchronize(rows.stream);
  MPI_Request requests[2];
  MPI_Irecv(rows.receive, kCount, MPI_INT, rows.peer, 0, MPI_COMM_WORLD, &requests[0]);
  MPI_Isend(rows.send, kCount, MPI_INT, rows.peer, 0, MPI_COMM_WORLD, &requests[1]);
  if (!buggy) MPI_Waitall(2, requests, MPI_STATUSES_IGNORE);
  launch_on(rows.stream, set_all, 1, 32, 0, rows.send, kCount, 6);
  if (buggy) MPI_Waitall(2, requests, MPI_STATUSES_IGNORE);
  cudaDeviceSynchronize();
}

void aware_sends_unwritten_rows(bool buggy) {
  const Rows rows;
  cudaStreamSynchronize(rows.stream);
  int* const unwritten = device_array<int>(kCount);
  MPI_Sendrecv(buggy ? unwritten : rows.send, kCount, MPI_INT, rows.peer, 0, rows.receive, kCount, MPI_INT, rows.peer,
               0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

void aware_leaves_the_buffer(bool buggy) {
  const Rows rows;
  cudaStreamSynchronize(rows.stream);
  MPI_Sendrecv(rows.send, kCount, MPI_INT, rows.peer, 0, rows.receive + (buggy ? 1 : 0), kCount, MPI_INT, rows.peer, 0,
               MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

/// A consumer on another stream than the one that waits for the number stored behind the exchange.
void aware_consumer_does_not_wait(bool buggy) {
  const Rows rows;
  cudaStream_t consumer = new_stream();
  std::uint32_t* const number = pinned_array<std::uint32_t>(1);
  std::atomic_ref(*number).store(0);
  cudaStreamSynchronize(rows.stream);
  void* wait_value = nullptr;
  cudaGetDriverEntryPointByVersion("cuStreamWaitValue32", &wait_value, 12000, cudaEnableDefault, nullptr);
  reinterpret_cast<decltype(&cuStreamWaitValue32)>(wait_value)(rows.stream, reinterpret_cast<CUdeviceptr>(number), 1,
                                                               CU_STREAM_WAIT_VALUE_GEQ);
  launch_on(buggy ? consumer : rows.stream, set_all, 1, 32, 0, rows.receive, kCount, 2);
  rows.exchange();
  std::atomic_ref(*number).store(1);
  cudaDeviceSynchronize();
}

}  // namespace

Cases aware_mpi_cases() {
  return {{"aware_clean_exchange", aware_clean_exchange},
          {"aware_sends_unfinished_rows", aware_sends_unfinished_rows},
          {"aware_rows_change_under_way", aware_rows_change_under_way},
          {"aware_sends_unwritten_rows", aware_sends_unwritten_rows},
          {"aware_leaves_the_buffer", aware_leaves_the_buffer},
          {"aware_consumer_does_not_wait", aware_consumer_does_not_wait}};
}

}  // namespace ep::emulator::test
