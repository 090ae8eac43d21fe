// Coverage is written when a process ends well. Error branches end it through MPI_Abort, so it is written there, too.
#include <csignal>

#include <mpi.h>

extern "C" void __gcov_dump();  // gcov.h declares it for C only

extern "C" int MPI_Abort(MPI_Comm communicator, int code) {
  // Where several ranks fail, mpirun ends the others as soon as the first is gone: not halfway through a file.
  auto* const before = std::signal(SIGTERM, SIG_IGN);
  __gcov_dump();
  std::signal(SIGTERM, before);
  return PMPI_Abort(communicator, code);
}
