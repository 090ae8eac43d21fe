// One rank fails while the others wait for it in an exchange: the job must end, with the failing rank's exit code.
#include <fmt/core.h>

#include "exchange/exchange.hpp"

int main(int argc, char** argv) {
  const ep::mpi::Environment environment(argc, argv);
  const ep::mpi::Communicator world = ep::mpi::Communicator::world();
  try {
    const auto exchange = ep::exchange::make_mpi_exchange(world, {});
    const auto device = ep::device::make_cpu_device({.threads = 1});
    if (world.rank() == world.size() - 1)
      throw ep::core::Error(ep::core::ExitCode::unsupported, "this rank has too little memory");
    const std::vector<std::int64_t> rows(static_cast<std::size_t>(world.size()), 100000);
    std::vector<std::int64_t> offsets(rows.size());
    for (std::size_t r = 0; r < rows.size(); ++r) offsets[r] = static_cast<std::int64_t>(r) * rows[r];
    const std::int64_t size = world.size() * rows[0];
    const auto send = device->allocate(size, ep::device::MemoryUse::send);
    const auto recv = device->allocate(size, ep::device::MemoryUse::receive);
    exchange->all_to_all(device->comm_stream(), {send.data(), recv.data(), rows, offsets, rows, offsets, 1});
    device->synchronize();
  } catch (const ep::core::Error& error) {
    fmt::print(stderr, "rank {}: {}\n", world.rank(), error.what());
    ep::mpi::abort(error.code());
  }
  return 0;
}
