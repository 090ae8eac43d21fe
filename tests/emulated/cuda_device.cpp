#include "device/cuda_device.hpp"

#include "tests/conformance/device_suite.hpp"

namespace ep::device {

INSTANTIATE_TEST_SUITE_P(Cuda, DeviceSuite, testing::Values(DeviceBackend{"cuda", [] { return make_cuda_device({}); }}),
                         name_of);

}  // namespace ep::device
