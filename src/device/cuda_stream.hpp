#pragma once
#include <functional>
#include <memory>

#include "cuda/handles.hpp"
#include "device/cuda_graph.hpp"
#include "device/device.hpp"

namespace ep::device {

/// A CUDA stream, and what its device asks while the host waits for it: work that never ends by itself (an exchange
/// whose peer is gone) is known to be hopeless only to whoever enqueued it.
class CudaStream final : public Stream {
 public:
  explicit CudaStream(cuda::Priority priority) : stream_(cuda::make_stream(priority)) {}
  [[nodiscard]] cudaStream_t get() const { return stream_.get(); }

  /// `watch` is called again and again while the host waits for this device; it throws to end the wait.
  void set_watch(std::function<void()> watch) { watch_ = std::move(watch); }
  void watch() const {
    if (watch_) watch_();
  }

  /// The graph into which goes what is enqueued; null: it runs.
  [[nodiscard]] CudaGraph* capture() const { return capture_; }
  void set_capture(CudaGraph* graph) { capture_ = graph; }

 private:
  cuda::UniqueStream stream_;
  std::function<void()> watch_;
  CudaGraph* capture_ = nullptr;
};

class CudaEvent final : public Event {
 public:
  CudaEvent() : event_(cuda::make_timed_event()) {}
  [[nodiscard]] cudaEvent_t get() const { return event_.get(); }
  /// Stands for it in a graph's order: there an event either has a time or is waited for.
  [[nodiscard]] cudaEvent_t order() const { return order_.get(); }

 private:
  cuda::UniqueEvent event_;
  cuda::UniqueEvent order_ = cuda::make_order_event();
};

// Streams and events come from the cuda device, whose only kind they are.
inline CudaStream& cuda_stream(Stream& stream) {
  return static_cast<CudaStream&>(stream);
}

}  // namespace ep::device
