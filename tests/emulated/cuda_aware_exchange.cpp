#include <string>
#include <vector>

#include "core/error.hpp"
#include "device/cuda_device.hpp"
#include "exchange/cuda_exchanges.hpp"
#include "tests/conformance/exchange_suite.hpp"
#include "tests/emulated/cuda_aware_mpi.hpp"
#include "tests/emulated/error_under_way.hpp"

namespace ep::exchange {
namespace {

std::unique_ptr<Exchange> make_aware(const mpi::Communicator& communicator) {
  return make_cuda_aware_exchange(communicator, {});
}

MpiOptions collective() {
  MpiOptions options;
  options.algorithm = "ialltoallv";
  return options;
}

const auto kFirstGpu = [] { return device::make_cuda_device({}); };

INSTANTIATE_TEST_SUITE_P(CudaAwareMpi, ExchangeSuite,
                         testing::Values(ExchangeBackend{"windowed", kFirstGpu, make_aware},
                                         ExchangeBackend{"ialltoallv", kFirstGpu,
                                                         [](const mpi::Communicator& communicator) {
                                                           return make_cuda_aware_exchange(communicator, collective());
                                                         }}),
                         name_of);

TEST(CudaAwareExchange, RefusesWhatItCannotMove) {
  const mpi::Communicator world = mpi::Communicator::world();
  EXPECT_EQ(device_rows_refusal(), "");
  const auto exchange = make_aware(world);
  const auto device = device::make_cuda_device({});
  const auto cpu = device::make_cpu_device({.threads = 1});
  const std::vector<std::int64_t> none(static_cast<std::size_t>(world.size()));
  const AllToAll nothing{nullptr, nullptr, none, none, none, none, 16};
  EXPECT_THROW(exchange->all_to_all(cpu->comm_stream(), nothing), core::Error);
  EXPECT_THROW(device->capture([&] { exchange->all_to_all(device->comm_stream(), nothing); }), core::Error);
  exchange->all_to_all(device->comm_stream(), nothing);
  device->synchronize();
}

/// The thread of the exchange must use the GPU that was in use when it was made, which is not the first one.
TEST(CudaAwareExchange, UsesItsOwnGpu) {
  const mpi::Communicator world = mpi::Communicator::world();
  device::CudaOptions options;
  options.ordinal = (world.rank() + 1) % device::find_cuda_gpus().gpus;
  const auto device = device::make_cuda_device(options);
  const auto exchange = make_aware(world);
  const auto ranks = static_cast<std::size_t>(world.size());
  const device::Buffer rows = device->allocate(2 * 16 * world.size(), device::MemoryUse::send);
  device->fill(device->comm_stream(), rows.data(), 1, rows.size_bytes());
  std::vector<std::int64_t> one(ranks, 1);
  std::vector<std::int64_t> offsets(ranks);
  for (std::size_t r = 0; r < ranks; ++r) offsets[r] = static_cast<std::int64_t>(r);
  exchange->all_to_all(device->comm_stream(),
                       {rows.data(), rows.data() + 16 * world.size(), one, offsets, one, offsets, 16});
  device->synchronize();
}

/// It goes while a stream may still be about to pass its last wait, and must wait for that.
TEST(CudaAwareExchange, MayGoBeforeTheStreamHasPassed) {
  const mpi::Communicator world = mpi::Communicator::world();
  const auto device = device::make_cuda_device({});
  const std::vector<std::int64_t> none(static_cast<std::size_t>(world.size()));
  for (int i = 0; i < 5; ++i)
    make_aware(world)->all_to_all(device->comm_stream(), {nullptr, nullptr, none, none, none, none, 16});
  const auto last = make_aware(world);
  last->all_to_all(device->comm_stream(), {nullptr, nullptr, none, none, none, none, 16});  // the watch is its own
  device->synchronize();
}

TEST(CudaAwareExchange, AnErrorUnderWayEndsTheWait) {
  const mpi::Communicator world = mpi::Communicator::world();
  if (world.size() == 1) GTEST_SKIP() << "nothing travels";
  const auto exchange = make_aware(world);
  const auto device = device::make_cuda_device({});
  expect_that_an_error_ends_the_wait(*exchange, *device);
}

}  // namespace
}  // namespace ep::exchange
