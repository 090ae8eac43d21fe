#pragma once
#include <vector>

#include <gtest/gtest.h>

#include "core/error.hpp"
#include "device/device.hpp"
#include "exchange/exchange.hpp"
#include "mpi/communicator.hpp"

namespace ep::exchange {

/// Each rank receives a row less than its neighbour sends: MPI tells a thread that cannot throw, so whoever waits for
/// the device must.
inline void expect_that_an_error_ends_the_wait(Exchange& exchange, device::Device& device) {
  const mpi::Communicator world = mpi::Communicator::world();
  const auto ranks = static_cast<std::size_t>(world.size());
  const auto rank = static_cast<std::size_t>(world.rank());
  const device::Buffer send = device.allocate(64, device::MemoryUse::send);
  const device::Buffer recv = device.allocate(64, device::MemoryUse::receive);
  device.fill(device.comm_stream(), send.data(), 1, 64);
  const std::vector<std::int64_t> offsets(ranks);
  std::vector<std::int64_t> sent(ranks);
  std::vector<std::int64_t> received(ranks);
  sent[(rank + 1) % ranks] = 2;
  received[(rank + ranks - 1) % ranks] = 1;
  // The second finds the job at its end, and does nothing.
  for (int i = 0; i < 2; ++i)
    exchange.all_to_all(device.comm_stream(), {send.data(), recv.data(), sent, offsets, received, offsets, 16});
  EXPECT_THROW(device.synchronize(), core::Error);
}

}  // namespace ep::exchange
