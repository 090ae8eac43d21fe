#pragma once
#include <functional>

#include "device/device.hpp"

namespace ep::device {

/// A worker thread with a FIFO of closures. A closure that throws stops the stream: what follows is skipped and the
/// first exception is rethrown by Device::synchronize.
class CpuStream : public Stream {
 public:
  virtual void enqueue(std::function<void()> work) = 0;
};

}  // namespace ep::device
