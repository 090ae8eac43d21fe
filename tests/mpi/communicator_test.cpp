#include "mpi/communicator.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mpi/topology.hpp"

namespace ep::mpi {
namespace {

TEST(Communicator, BroadcastResizesToTheRootsBytes) {
  const Communicator world = Communicator::world();
  for (int root = 0; root < world.size(); ++root) {
    const std::string sent(static_cast<std::size_t>(1000 * root), static_cast<char>('a' + root));
    std::string bytes = world.rank() == root ? sent : "what was here before";
    world.broadcast(bytes, root);
    EXPECT_EQ(bytes, sent);
  }
}

TEST(Communicator, GathersStringsOfAnyLengthByRank) {
  const Communicator world = Communicator::world();
  const auto of_rank = [](int rank) {
    return std::string(static_cast<std::size_t>(rank), '\0') + std::to_string(rank);
  };
  const std::vector<std::string> all = world.gather_all(of_rank(world.rank()));
  ASSERT_EQ(all.size(), static_cast<std::size_t>(world.size()));
  for (int rank = 0; rank < world.size(); ++rank) EXPECT_EQ(all[static_cast<std::size_t>(rank)], of_rank(rank));
  EXPECT_EQ(world.gather_all(std::string{}), std::vector<std::string>(static_cast<std::size_t>(world.size())));
}

TEST(Communicator, GathersNumbersAndTakesTheLargest) {
  const Communicator world = Communicator::world();
  const std::vector<double> mine{1.0 * world.rank(), -1.0 * world.rank()};
  const std::vector<double> all = world.gather_all(mine);
  ASSERT_EQ(all.size(), 2 * static_cast<std::size_t>(world.size()));
  for (std::size_t rank = 0; rank < static_cast<std::size_t>(world.size()); ++rank) {
    EXPECT_EQ(all[2 * rank], static_cast<double>(rank));
    EXPECT_EQ(all[2 * rank + 1], -static_cast<double>(rank));
  }
  EXPECT_EQ(world.max(-1.0 - world.rank()), -1.0);
}

TEST(Communicator, TrafficOfDuplicatesDoesNotMix) {
  const Communicator world = Communicator::world();
  const Communicator other = world.duplicate();
  const int to = (world.rank() + 1) % world.size();
  const int from = (world.rank() + world.size() - 1) % world.size();
  const int first = 1;
  const int second = 2;
  MPI_Request requests[2];
  check_mpi(MPI_Isend(&first, 1, MPI_INT, to, 0, world.get(), &requests[0]));
  check_mpi(MPI_Isend(&second, 1, MPI_INT, to, 0, other.get(), &requests[1]));
  int got = 0;
  check_mpi(MPI_Recv(&got, 1, MPI_INT, from, 0, other.get(), MPI_STATUS_IGNORE));
  EXPECT_EQ(got, 2);
  check_mpi(MPI_Recv(&got, 1, MPI_INT, from, 0, world.get(), MPI_STATUS_IGNORE));
  EXPECT_EQ(got, 1);
  check_mpi(MPI_Waitall(2, requests, MPI_STATUSES_IGNORE));
}

TEST(CheckMpi, TurnsAnErrorOfTheLibraryIntoOurs) {
  const Communicator world = Communicator::world().duplicate();
  const int value = 0;
  const int code = MPI_Send(&value, 1, MPI_INT, world.size(), 0, world.get());  // no such rank; must not end the job
  try {
    check_mpi(code);
    FAIL() << "accepted rank " << world.size();
  } catch (const core::Error& error) {
    EXPECT_EQ(error.code(), core::ExitCode::communication);
    EXPECT_NE(std::string(error.what()).find("rank"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("communicator_test.cpp"), std::string::npos) << error.what();
  }
  EXPECT_NO_THROW(check_mpi(MPI_SUCCESS));
}

TEST(Topology, RanksOfOneHostNameAreOneNodeNumberedByFirstAppearance) {
  const Communicator world = Communicator::world();
  const std::vector<std::string> hosts = world.gather_all(host_name());
  const std::vector<int> nodes = node_of_rank(world);
  ASSERT_EQ(nodes.size(), hosts.size());
  int seen = 0;
  for (std::size_t rank = 0; rank < hosts.size(); ++rank) {
    const auto first = static_cast<std::size_t>(std::find(hosts.begin(), hosts.end(), hosts[rank]) - hosts.begin());
    EXPECT_EQ(nodes[rank], first == rank ? seen++ : nodes[first]) << "rank " << rank << " on " << hosts[rank];
  }
  EXPECT_EQ(library_version().find('\n'), std::string::npos);
}

}  // namespace
}  // namespace ep::mpi
