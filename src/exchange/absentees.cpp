#include "exchange/absentees.hpp"

#include <algorithm>
#include <thread>
#include <vector>

#include "core/clock.hpp"

namespace ep::exchange {

Absentees::Found Absentees::find(std::int64_t number) const {
  constexpr double kPatienceUs = 1e6;
  const mpi::Communicator& communicator = kept_.communicator;
  const int ranks = communicator.size();
  const std::int64_t& sent = kept_.sent.emplace_back(number);
  for (int peer = 0; peer < ranks; ++peer) {
    if (peer == communicator.rank()) continue;
    // Small enough to leave at once; nobody may be there to take it, so nobody waits for it.
    MPI_Request request = MPI_REQUEST_NULL;
    mpi::check_mpi(MPI_Isend(&sent, 1, MPI_INT64_T, peer, 0, communicator.get(), &request));
    mpi::check_mpi(MPI_Request_free(&request));
  }
  std::vector<bool> reached(static_cast<std::size_t>(ranks));
  reached[static_cast<std::size_t>(communicator.rank())] = true;
  for (const double until_us = core::now_us() + kPatienceUs; core::now_us() < until_us; std::this_thread::yield()) {
    int arrived = 0;
    MPI_Status status;
    mpi::check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, 0, communicator.get(), &arrived, &status));
    if (arrived == 0) continue;
    std::int64_t theirs = 0;
    mpi::check_mpi(MPI_Recv(&theirs, 1, MPI_INT64_T, status.MPI_SOURCE, 0, communicator.get(), MPI_STATUS_IGNORE));
    if (theirs >= number) reached[static_cast<std::size_t>(status.MPI_SOURCE)] = true;
  }
  std::string absent;
  for (int rank = 0; rank < ranks; ++rank)
    if (!reached[static_cast<std::size_t>(rank)]) absent += (absent.empty() ? "" : ",") + std::to_string(rank);
  const auto first = std::find(reached.begin(), reached.end(), true) - reached.begin();
  return {absent.empty() ? "none" : absent, first == communicator.rank()};
}

}  // namespace ep::exchange
