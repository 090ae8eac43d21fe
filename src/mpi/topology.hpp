#pragma once
#include <string>
#include <vector>

#include "mpi/communicator.hpp"

namespace ep::mpi {

/// The node of every rank [ranks], nodes numbered by first appearance. A node is a host name (MPI_Get_processor_name):
/// that is also what Open MPI goes by when it gives ranks shared memory, so hosts made of network namespaces with names
/// of their own are separate nodes though they share a kernel. @pre collective
[[nodiscard]] std::vector<int> node_of_rank(const Communicator& communicator);

/// This process's host name.
[[nodiscard]] std::string host_name();

/// Name and version of the MPI library, as it calls itself: "Open MPI v4.1.4".
[[nodiscard]] std::string library_version();

}  // namespace ep::mpi
