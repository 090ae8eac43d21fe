#include <cstdlib>
#include <exception>

#include "mpi/communicator.hpp"

namespace ep::mpi {

Environment::Environment(int& argc, char**& argv) : uncaught_(std::uncaught_exceptions()) {
  int provided = MPI_THREAD_SINGLE;
  check_mpi(MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided));
  // Before anything else is called: duplicates of the two inherit the handler.
  check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
  check_mpi(MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN));
  thread_multiple_ = provided == MPI_THREAD_MULTIPLE;
}

Environment::~Environment() {
  if (std::uncaught_exceptions() == uncaught_) MPI_Finalize();
}

void abort(core::ExitCode code) noexcept {
  int initialized = 0;
  int finalized = 0;
  MPI_Initialized(&initialized);
  MPI_Finalized(&finalized);
  if (initialized != 0 && finalized == 0) MPI_Abort(MPI_COMM_WORLD, static_cast<int>(code));
  std::_Exit(static_cast<int>(code));
}

}  // namespace ep::mpi
