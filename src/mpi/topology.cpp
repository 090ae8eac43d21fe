#include "mpi/topology.hpp"

#include <map>

namespace ep::mpi {

std::string host_name() {
  char name[MPI_MAX_PROCESSOR_NAME] = {};
  int length = 0;
  check_mpi(MPI_Get_processor_name(name, &length));
  return {name, static_cast<std::size_t>(length)};
}

std::string library_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = {};
  int length = 0;
  check_mpi(MPI_Get_library_version(text, &length));
  const std::string version(text, static_cast<std::size_t>(length));
  return version.substr(0, version.find_first_of(",\n"));  // who built it, where and when follows
}

std::vector<int> node_of_rank(const Communicator& communicator) {
  std::map<std::string, int> number;
  std::vector<int> nodes;
  for (const std::string& host : communicator.gather_all(host_name()))
    nodes.push_back(number.emplace(host, static_cast<int>(number.size())).first->second);
  return nodes;
}

}  // namespace ep::mpi
