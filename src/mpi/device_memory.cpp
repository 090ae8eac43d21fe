#include "mpi/device_memory.hpp"

#include <mpi.h>
#if defined(OPEN_MPI) && __has_include(<mpi-ext.h>)
#include <mpi-ext.h>
#endif

namespace ep::mpi {

std::string device_memory_refusal() {
// The macro says what the library was when this was compiled, the function what it is: so the macro's value does not
// matter, only that there is a function to ask.
#ifdef MPIX_CUDA_AWARE_SUPPORT
  return MPIX_Query_cuda_support() != 0 ? "" : "the MPI library says that it is not CUDA-aware";
#else
  return "the MPI library does not say whether it is CUDA-aware";
#endif
}

}  // namespace ep::mpi
