#pragma once
#include <string>

namespace ep::mpi {

/// Why MPI calls of this process may not be given GPU memory; empty where the MPI library says that they may. Open MPI
/// is asked (MPIX_Query_cuda_support); what others can do they say in no common way, so theirs counts as not known.
/// @pre an Environment is alive
[[nodiscard]] std::string device_memory_refusal();

}  // namespace ep::mpi
