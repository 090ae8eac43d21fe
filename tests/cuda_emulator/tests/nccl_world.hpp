// What the NCCL tests share: a communicator of all ranks, and waiting for one.
#pragma once
#include <mpi.h>
#include <nccl.h>

#include "cuda_emulator/tests/device_code.hpp"

namespace ep::emulator::test {

inline int world_size() {
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  return size;
}

inline int world_rank() {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rank;
}

/// Polls until the communicator is done with what it is doing.
inline ncclResult_t settle(ncclComm_t comm) {
  ncclResult_t state = ncclInProgress;
  while (state == ncclInProgress) {
    if (const ncclResult_t error = ncclCommGetAsyncError(comm, &state); error != ncclSuccess) return error;
  }
  return state;
}

/// A communicator of all ranks. @pre collective
inline ncclComm_t new_communicator(bool blocking) {
  cudaSetDevice(world_rank());
  ncclUniqueId id{};
  const ncclResult_t made = world_rank() == 0 ? ncclGetUniqueId(&id) : ncclSuccess;
  EXPECT_EQ(made, ncclSuccess);
  MPI_Bcast(&id, sizeof(id), MPI_BYTE, 0, MPI_COMM_WORLD);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = blocking ? 1 : 0;
  ncclComm_t comm = nullptr;
  const ncclResult_t result = ncclCommInitRankConfig(&comm, world_size(), id, world_rank(), &config);
  EXPECT_TRUE(result == ncclSuccess || (!blocking && result == ncclInProgress)) << ncclGetErrorString(result);
  EXPECT_EQ(settle(comm), ncclSuccess);
  return comm;
}

/// Ends a communicator. @pre collective
inline void end(ncclComm_t comm) {
  const ncclResult_t result = ncclCommFinalize(comm);
  EXPECT_TRUE(result == ncclSuccess || result == ncclInProgress);
  EXPECT_EQ(settle(comm), ncclSuccess);
  EXPECT_EQ(ncclCommDestroy(comm), ncclSuccess);
}

}  // namespace ep::emulator::test
