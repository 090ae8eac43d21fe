#include "device_suite.hpp"

namespace ep::device {

INSTANTIATE_TEST_SUITE_P(Cpu, DeviceSuite,
                         testing::Values(DeviceBackend{"cpu", [] { return make_cpu_device({.threads = 1}); }}),
                         name_of);

}  // namespace ep::device
