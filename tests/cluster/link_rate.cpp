// What one link between rank 0 and rank 1 carries: `link_rate BYTES` prints "HOST0 HOST1 MB_PER_S" (MB = 1e6 bytes).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include <mpi.h>

namespace {

constexpr int kRounds = 3;

std::string processor_name() {
  char name[MPI_MAX_PROCESSOR_NAME] = {};
  int length = 0;
  MPI_Get_processor_name(name, &length);
  return {name, static_cast<std::size_t>(length)};
}

/// Shortest of a few times in seconds for `buffer` to go from rank 0 to rank 1 and an empty answer to come back: other
/// work on the machine can only delay a message, and a link that is not limited shows in the shortest. @pre ranks 0
/// and 1.
double one_way_seconds(std::vector<char>& buffer, int rank) {
  const int bytes = static_cast<int>(buffer.size());
  double best = std::numeric_limits<double>::max();
  for (int round = 0; round < kRounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    if (rank == 0) {
      MPI_Send(buffer.data(), bytes, MPI_CHAR, 1, 0, MPI_COMM_WORLD);
      MPI_Recv(nullptr, 0, MPI_CHAR, 1, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    } else {
      MPI_Recv(buffer.data(), bytes, MPI_CHAR, 0, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      MPI_Send(nullptr, 0, MPI_CHAR, 0, 1, MPI_COMM_WORLD);
    }
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank = 0;
  int size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (size != 2 || argc != 2) {
    std::fprintf(stderr, "usage: mpirun -np 2 link_rate BYTES\n");
    MPI_Abort(MPI_COMM_WORLD, 6);
  }
  std::vector<char> buffer(std::strtoul(argv[1], nullptr, 10), 'x');
  std::string peer(MPI_MAX_PROCESSOR_NAME, '\0');
  const std::string own = processor_name();
  MPI_Sendrecv(own.c_str(), static_cast<int>(own.size()), MPI_CHAR, 1 - rank, 2, peer.data(), MPI_MAX_PROCESSOR_NAME,
               MPI_CHAR, 1 - rank, 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  const double seconds = one_way_seconds(buffer, rank);
  if (rank == 0) {
    std::printf("%s %s %.2f\n", own.c_str(), peer.c_str(), static_cast<double>(buffer.size()) / seconds / 1e6);
  }
  MPI_Finalize();
}
