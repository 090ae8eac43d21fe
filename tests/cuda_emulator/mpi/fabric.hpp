// The emulator's own corner of MPI: NCCL's messages travel on a duplicate of MPI_COMM_WORLD.
#pragma once
#include <mpi.h>

namespace ep::emulator {

/// The duplicate; MPI_COMM_NULL before MPI_Init and after MPI_Finalize.
MPI_Comm fabric();

/// This process's rank on it. @pre fabric() is not MPI_COMM_NULL
int fabric_rank();

}  // namespace ep::emulator
