#include <cstdlib>
#include <cstring>
#include <string>

#include "cuda_emulator/runtime/config.hpp"
#include "cuda_emulator/tests/device_code.hpp"

namespace ep::emulator::test {
namespace {

__global__ void nothing() {}

std::string uuid_of(int device) {
  cudaDeviceProp properties{};
  EXPECT_EQ(cudaGetDeviceProperties(&properties, device), cudaSuccess);
  return {properties.uuid.bytes, sizeof(properties.uuid.bytes)};
}

TEST(Device, says_that_it_is_emulated) {
  cudaDeviceProp properties{};
  ASSERT_EQ(cudaGetDeviceProperties(&properties, 0), cudaSuccess);
  EXPECT_STREQ(properties.name, "emulated GPU");
  EXPECT_EQ(properties.warpSize, 32);
}

TEST(Device, uuids_differ_and_can_be_given) {
  EXPECT_NE(uuid_of(0), uuid_of(1));
  config().uuids = {"same", "same"};
  EXPECT_EQ(uuid_of(0), uuid_of(1));
  EXPECT_EQ(uuid_of(0).substr(0, 4), "same");
}

TEST(Device, visibility_renumbers) {
  const std::string third = uuid_of(3);
  setenv("CUDA_VISIBLE_DEVICES", "3,0", 1);
  int count = 0;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_EQ(count, 2);
  EXPECT_EQ(uuid_of(0), third);
  EXPECT_EQ(cudaSetDevice(2), cudaErrorInvalidDevice);
  unsetenv("CUDA_VISIBLE_DEVICES");
}

TEST(Device, can_be_absent) {
  int count = 42;
  config().device_count = 0;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorNoDevice);
  config().device_count = -1;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
  EXPECT_EQ(count, 42) << "CUDA leaves it alone";
}

TEST(Device, can_want_the_environment_before_it_starts) {
  unsetenv("CUDA_MODULE_LOADING");
  EXPECT_REPORT(config().expect_eager = true; cudaSetDevice(0), "late-environment");
  setenv("CUDA_MODULE_LOADING", "EAGER", 1);
  setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 1);
  EXPECT_CLEAN(config().expect_eager = true; cudaSetDevice(0));
  unsetenv("CUDA_MODULE_LOADING");
  unsetenv("CUDA_DEVICE_MAX_CONNECTIONS");
}

TEST(Launch, refuses_impossible_configurations) {
  EXPECT_EQ(launch(nothing, 0, 32), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(nothing, 1, 1025), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(nothing, dim3(1, 65536), 32), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch_on(nullptr, nothing, 1, 32, 60000), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 60000), cudaSuccess);
  EXPECT_EQ(launch_on(nullptr, nothing, 1, 32, 60000), cudaSuccess);
  EXPECT_EQ(cudaFuncSetAttribute(nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 240000), cudaErrorInvalidValue);
}

TEST(Error, has_a_name) {
  EXPECT_STREQ(cudaGetErrorName(cudaErrorMemoryAllocation), "cudaErrorMemoryAllocation");
  EXPECT_STREQ(cudaGetErrorString(cudaErrorMemoryAllocation), "out of memory");
}

}  // namespace
}  // namespace ep::emulator::test
