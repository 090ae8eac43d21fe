// What is particular to the mpi exchange within a node, where ranks copy from each other's memory.
#include <algorithm>
#include <csignal>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <sys/resource.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "exchange/exchange.hpp"
#include "kernels/stream_store_cpu.hpp"
#include "tests/mpi/traffic.hpp"

namespace ep::exchange {
namespace {

TEST(Neighbours, MovesWhatItStoresPastTheCaches) {
  const mpi::Communicator world = mpi::Communicator::world();
  const auto exchange = make_mpi_exchange(world, {});
  const auto device = device::make_cpu_device({.threads = 1});
  // As neighbours.cpp has it, and no whole number of lines.
  const std::int64_t bytes = 12 * kernels::second_level_cache_bytes() + 1;
  const Traffic traffic(*device, uniform_traffic(world.size(), bytes / std::max(1, world.size() - 1) + 1), world.rank(),
                        1);
  exchange->all_to_all(device->comm_stream(), traffic.args());
  device->synchronize();
  EXPECT_TRUE(traffic.arrived());
}

/// No file, shared memory included, can be made longer by this process while it lives.
class NoFiles {
 public:
  NoFiles() {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit none{0, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &none);
  }
  ~NoFiles() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  NoFiles(const NoFiles&) = delete;
  NoFiles& operator=(const NoFiles&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int) = std::signal(SIGXFSZ, SIG_IGN);
};

TEST(Neighbours, SendsMessagesWithinANodeWhereOneRankCannotShareMemory) {
  const mpi::Communicator world = mpi::Communicator::world();
  if (world.size() < 2) GTEST_SKIP() << "needs two ranks on a node";
  MpiOptions options;
  options.node_of_rank.assign(static_cast<std::size_t>(world.size()), 0);
  std::unique_ptr<Exchange> exchange;
  {
    std::optional<NoFiles> poor;
    if (world.rank() == 1) poor.emplace();
    exchange = make_mpi_exchange(world, options);
  }
  EXPECT_THAT(std::string(exchange->within_node()), testing::StartsWith("MPI messages (rank 1: cannot allocate "));
  const auto device = device::make_cpu_device({.threads = 1});
  const Traffic traffic(*device, uniform_traffic(world.size(), 1000), world.rank(), 3);
  exchange->all_to_all(device->comm_stream(), traffic.args());
  device->synchronize();
  EXPECT_TRUE(traffic.arrived());
}

TEST(Neighbours, RefusesRowsThatItsNeighboursCannotMap) {
  const mpi::Communicator world = mpi::Communicator::world();
  if (world.size() < 2) GTEST_SKIP() << "needs a neighbour";
  const auto exchange = make_mpi_exchange(world, {});
  const auto device = device::make_cpu_device({.threads = 1});
  const std::vector<std::int64_t> rows(static_cast<std::size_t>(world.size()), 1);
  const std::vector<std::int64_t> offsets(rows.size());
  std::byte own[1]{};
  exchange->all_to_all(device->comm_stream(), {own, own, rows, offsets, rows, offsets, 1});
  EXPECT_EQ(code_of([&] { device->synchronize(); }), core::ExitCode::internal);
}

TEST(Neighbours, KeepsNoMemoryThatItsOwnerReleased) {
  const mpi::Communicator world = mpi::Communicator::world();
  const auto exchange = make_mpi_exchange(world, {});
  const auto device = device::make_cpu_device({.threads = 1});
  const auto shared_kib = [&] {  // of this process, mapped, once every rank has released what it had
    world.barrier();
    std::ifstream status("/proc/self/status");
    std::string word;
    long kib = -1;
    while (status >> word)
      if (word == "RssShmem:") status >> kib;
    return kib;
  };
  const auto move = [&] {
    const Traffic traffic(*device, uniform_traffic(world.size(), 1 << 20), world.rank(), 1);
    exchange->all_to_all(device->comm_stream(), traffic.args());
    device->synchronize();
    EXPECT_TRUE(traffic.arrived());
  };
  move();
  move();
  const long before = shared_kib();
  for (int i = 0; i < 10; ++i) move();
  EXPECT_LE(shared_kib(), before + 512);  // and not ten times a megabyte of each neighbour
}

}  // namespace
}  // namespace ep::exchange
