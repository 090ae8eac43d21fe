#pragma once
#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include <gtest/gtest.h>

#include "device/device.hpp"
#include "exchange/exchange.hpp"
#include "mpi/communicator.hpp"

namespace ep::exchange {

/// How to make the device and the exchange under test.
struct ExchangeBackend {
  std::string name;
  std::function<std::unique_ptr<device::Device>()> make_device;
  std::function<std::unique_ptr<Exchange>(const mpi::Communicator&)> make_exchange;
};

inline void PrintTo(const ExchangeBackend& backend, std::ostream* out) {
  *out << backend.name;
}

/// What every Exchange must do, on any number of ranks. A back end is put under it by INSTANTIATE_TEST_SUITE_P in a
/// file of its own.
class ExchangeSuite : public testing::TestWithParam<ExchangeBackend> {
 protected:
  mpi::Communicator world_ = mpi::Communicator::world();
  const int rank_ = world_.rank();
  const int ranks_ = world_.size();
  std::unique_ptr<Exchange> exchange_ = GetParam().make_exchange(world_);
  std::unique_ptr<device::Device> device_ = GetParam().make_device();  // goes first: its streams use the exchange
};

inline std::string name_of(const testing::TestParamInfo<ExchangeBackend>& backend) {
  return backend.param.name;
}

}  // namespace ep::exchange
