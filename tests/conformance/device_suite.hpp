#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "device/device.hpp"

namespace ep::device {

inline std::size_t at(std::int64_t index) {
  return static_cast<std::size_t>(index);
}

/// How to make the device under test.
struct DeviceBackend {
  std::string name;
  std::function<std::unique_ptr<Device>()> make;
};

inline void PrintTo(const DeviceBackend& backend, std::ostream* out) {
  *out << backend.name;
}

/// What every Device must do. A back end is put under it by INSTANTIATE_TEST_SUITE_P in a file of its own.
class DeviceSuite : public testing::TestWithParam<DeviceBackend> {
 protected:
  template <class T>
  Buffer upload(const std::vector<T>& values) {
    const auto size = static_cast<std::int64_t>(values.size() * sizeof(T));
    Buffer buffer = device_->allocate(size, MemoryUse::device);
    device_->copy(device_->compute_stream(), buffer.data(), values.data(), size);
    device_->synchronize();
    return buffer;
  }

  template <class T>
  Buffer uninitialised(std::int64_t count) {
    Buffer buffer = device_->allocate(count * static_cast<std::int64_t>(sizeof(T)), MemoryUse::device);
    device_->fill(device_->compute_stream(), buffer.data(), 0xEE, buffer.size_bytes());
    return buffer;
  }

  template <class T>
  std::vector<T> download(const Buffer& buffer) {
    std::vector<T> values(static_cast<std::size_t>(buffer.size_bytes()) / sizeof(T));
    device_->copy(device_->compute_stream(), values.data(), buffer.data(), buffer.size_bytes());
    device_->synchronize();
    return values;
  }

  std::unique_ptr<Device> device_ = GetParam().make();
};

inline std::string name_of(const testing::TestParamInfo<DeviceBackend>& backend) {
  return backend.param.name;
}

}  // namespace ep::device
