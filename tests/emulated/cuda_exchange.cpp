#include "device/cuda_device.hpp"
#include "exchange/cuda_exchanges.hpp"
#include "tests/conformance/exchange_suite.hpp"
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

}  // namespace
}  // namespace ep::exchange
