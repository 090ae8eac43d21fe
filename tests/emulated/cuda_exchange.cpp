#include <string>
#include <vector>

#include "core/error.hpp"
#include "device/cuda_device.hpp"
#include "exchange/absentees.hpp"
#include "exchange/cuda_exchanges.hpp"
#include "nccl/communicator.hpp"
#include "tests/conformance/exchange_suite.hpp"
#include "tests/emulated/error_under_way.hpp"
#include "tests/emulated/one_gpu_a_rank.hpp"

namespace ep::exchange {
namespace {

INSTANTIATE_TEST_SUITE_P(CudaNccl, ExchangeSuite,
                         testing::Values(ExchangeBackend{"nccl", make_device_for_nccl, make_nccl_on_own_gpu}), name_of);

INSTANTIATE_TEST_SUITE_P(CudaMpi, ExchangeSuite,
                         testing::Values(ExchangeBackend{"staged", [] { return device::make_cuda_device({}); },
                                                         [](const mpi::Communicator& communicator) {
                                                           return make_staged_exchange(communicator, {});
                                                         }}),
                         name_of);

TEST(CudaExchanges, RefuseAnotherDevicesStream) {
  const mpi::Communicator world = mpi::Communicator::world();
  const auto cpu = device::make_cpu_device({.threads = 1});
  const auto nccl = make_nccl_on_own_gpu(world);
  const auto staged = make_staged_exchange(world, {});
  const std::vector<std::int64_t> none(static_cast<std::size_t>(world.size()));
  const AllToAll nothing{nullptr, nullptr, none, none, none, none, 16};
  EXPECT_THROW(nccl->all_to_all(cpu->comm_stream(), nothing), core::Error);
  EXPECT_THROW(staged->all_to_all(cpu->comm_stream(), nothing), core::Error);
  EXPECT_THROW(static_cast<void>(allocate_registered(*staged, 16)), core::Error);
}

/// The other rank joins NCCL's communicator as the exchange does, and then never comes to connect.
TEST(NcclExchange, IsNotMadeBeforeItIsConnected) {
  const mpi::Communicator world = mpi::Communicator::world();
  if (world.size() != 2) GTEST_SKIP() << "takes one rank that connects and one that does not come";
  const auto device = make_device_for_nccl();
  if (world.rank() == 0) {
    EXPECT_THROW(make_nccl_exchange(world, {0, 0.5}), core::Error);
    return;
  }
  const mpi::Communicator counts = world.duplicate();
  const mpi::Communicator absentees = world.duplicate();
  std::string bytes(sizeof(ncclUniqueId), '\0');
  world.broadcast(bytes, 0);
  ncclUniqueId id;
  bytes.copy(id.internal, sizeof(id));
  const nccl::Communicator communicator(id, 2, 1, {0, 0.5});
}

/// Rank 1 says nothing and rank 3 is an exchange behind; the lowest of the others may speak.
TEST(Absentees, AreThoseWhoHaveNotReportedTheExchange) {
  const mpi::Communicator world = mpi::Communicator::world();
  if (world.size() < 3) GTEST_SKIP() << "takes two ranks that wait and one that does not come";
  const Absentees absentees(world);
  if (world.rank() == 1) return;
  constexpr int kBehind = 3;
  const Absentees::Found found = absentees.find(world.rank() == kBehind ? 4 : 5);
  if (world.rank() == kBehind) return;
  EXPECT_EQ(found.ranks, world.size() > kBehind ? "1,3" : "1");
  EXPECT_EQ(found.first_here, world.rank() == 0);
}

/// The last rank never comes: the others' wait must end, and name it.
TEST(NcclExchange, ARankThatIsMissingEndsTheWait) {
  const mpi::Communicator world = mpi::Communicator::world();
  if (world.size() != 2) GTEST_SKIP() << "takes one rank that waits and one that does not come";
  const auto device = make_device_for_nccl();
  const auto exchange = make_nccl_exchange(world, {0, 0.5});
  const device::Buffer rows = device->allocate(64, device::MemoryUse::send);
  const std::vector<std::int64_t> one{1, 1};
  const std::vector<std::int64_t> offsets{0, 1};
  if (world.rank() == 0) {
    exchange->all_to_all(device->comm_stream(), {rows.data(), rows.data() + 32, one, offsets, one, offsets, 16});
    EXPECT_LT(exchange->progress().finished, exchange->progress().started);
    try {
      device->synchronize();
      FAIL() << "ended without its peer";
    } catch (const core::Error& error) {
      EXPECT_EQ(error.code(), core::ExitCode::timeout);
      const std::string message = error.what();
      EXPECT_NE(message.find("all-to-all 1, sending to 1, receiving from 1: no end"), std::string::npos) << message;
      EXPECT_NE(message.find("reaching it: 1"), std::string::npos) << message;
    }
  }
}

/// What the device asks while the host waits for it must not be an exchange that has gone.
TEST(NcclExchange, MayGoBeforeItsDeviceIsWaitedFor) {
  const mpi::Communicator world = mpi::Communicator::world();
  const auto device = make_device_for_nccl();
  const std::vector<std::int64_t> none(static_cast<std::size_t>(world.size()));
  make_nccl_exchange(world, {})->all_to_all(device->comm_stream(), {nullptr, nullptr, none, none, none, none, 16});
  device->synchronize();
}

TEST(StagedExchange, AnErrorUnderWayEndsTheWait) {
  const mpi::Communicator world = mpi::Communicator::world();
  if (world.size() == 1) GTEST_SKIP() << "nothing travels";
  const auto exchange = make_staged_exchange(world, {});
  const auto device = device::make_cuda_device({});
  expect_that_an_error_ends_the_wait(*exchange, *device);
}

}  // namespace
}  // namespace ep::exchange
