#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/dtype.hpp"
#include "kernels/bucket.hpp"
#include "kernels/gate_grad.hpp"
#include "kernels/gemm.hpp"
#include "kernels/pack.hpp"
#include "kernels/pack_weighted.hpp"
#include "kernels/quantise.hpp"
#include "kernels/reduce.hpp"
#include "kernels/regroup.hpp"
#include "kernels/swiglu.hpp"
#include "kernels/swiglu_grad.hpp"

namespace ep::device {

/// Order of execution on a device: what is enqueued runs in turn. Made and owned by its Device.
class Stream {
 public:
  virtual ~Stream() = default;

 protected:
  Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
};

/// A point in a stream's work, with the time at which it was reached. Recorded before it is waited for; recording it
/// again starts it anew, and waits enqueued earlier keep meaning the earlier record.
class Event {
 public:
  virtual ~Event() = default;

 protected:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
};

/// Work for both streams of a device, enqueued again as often as wanted. Must go before what it uses: buffers, events,
/// the exchange.
class Graph {
 public:
  virtual ~Graph() = default;

 protected:
  Graph() = default;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
};

/// Who will touch a buffer. The Exchange sends from `send` memory and receives into `receive` memory.
enum class MemoryUse : std::uint8_t { device, send, receive, host_pinned };

/// Owning pointer to device or pinned memory, 256-byte aligned.
class Buffer {
 public:
  using Release = std::function<void(std::byte*)>;
  Buffer() = default;
  Buffer(std::byte* data, std::int64_t size_bytes, Release release)
      : data_(data, std::move(release)), size_bytes_(size_bytes) {}
  [[nodiscard]] std::byte* data() const { return data_.get(); }
  template <class T>
  [[nodiscard]] T* as() const {
    return reinterpret_cast<T*>(data_.get());
  }
  [[nodiscard]] std::int64_t size_bytes() const { return size_bytes_; }

 private:
  std::unique_ptr<std::byte, Release> data_;
  std::int64_t size_bytes_ = 0;
};

/// One rank's accelerator, or its share of the CPU. Calls come from one host thread. Everything that takes a Stream is
/// asynchronous and ordered by it; an error on a stream is thrown by the next synchronize.
class Device {
 public:
  virtual ~Device() = default;

  [[nodiscard]] virtual std::string_view name() const = 0;    // "cpu", "cuda"
  [[nodiscard]] virtual std::string description() const = 0;  // model, threads
  /// Element type experts compute in when the payload is `payload`: fp32 on the cpu, bf16 on cuda.
  [[nodiscard]] virtual core::DType compute_dtype(core::DType payload) const = 0;
  [[nodiscard]] virtual std::int64_t available_bytes(MemoryUse use) const = 0;
  /// Throws Error (unsupported) when there is too little memory.
  virtual Buffer allocate(std::int64_t size_bytes, MemoryUse use) = 0;

  virtual Stream& compute_stream() = 0;
  virtual Stream& comm_stream() = 0;
  virtual std::unique_ptr<Event> create_event() = 0;
  virtual void record(Event& event, Stream& stream) = 0;
  /// Work enqueued on `stream` from now on starts after `event`'s latest record was reached.
  virtual void wait(Stream& stream, const Event& event) = 0;
  virtual void synchronize(const Event& event) = 0;  // blocks the host
  virtual void synchronize() = 0;                    // both streams; throws what went wrong on either
  /// Time an event was reached, in core::now_us() microseconds. @pre it was reached.
  [[nodiscard]] virtual double time_us(const Event& event) const = 0;

  /// Time in which the compute stream's work was ready to run and no core was free for it, microseconds since the
  /// device was made; none where that is not known. On the cpu: of the stream's own thread.
  [[nodiscard]] virtual std::optional<double> waited_for_core_us() const { return std::nullopt; }

  /// Calls `enqueue`, which waits for nothing, and makes a graph of what it puts on the streams instead of running it.
  /// Throws Error (unsupported) where that cannot be. @pre the device is idle, and has run the same work before
  virtual std::unique_ptr<Graph> capture(const std::function<void()>& enqueue) = 0;
  /// Enqueues the graph behind what both streams hold; its events get new times. @pre collective, if `enqueue` was
  virtual void replay(const Graph& graph) = 0;

  /// Names what the host enqueues between the two, for a profiler; nothing where there is none. Use NamedStep.
  virtual void begin_step(const std::string& /*name*/) {}
  virtual void end_step() noexcept {}

  /// Copies between host and device memory in stream order. Host memory must stay until the stream has passed.
  virtual void copy(Stream& stream, void* to, const void* from, std::int64_t size_bytes) = 0;
  virtual void fill(Stream& stream, void* to, int byte, std::int64_t size_bytes) = 0;

  virtual void launch(Stream& stream, const kernels::BucketArgs& args) = 0;
  virtual void launch(Stream& stream, const kernels::QuantiseArgs& args) = 0;
  virtual void launch(Stream& stream, const kernels::PackArgs& args) = 0;
  virtual void launch(Stream& stream, const kernels::RegroupArgs& args) = 0;
  virtual void launch(Stream& stream, const kernels::SwigluArgs& args) = 0;
  virtual void launch(Stream& stream, const kernels::ReduceArgs& args) = 0;
  virtual void launch(Stream& stream, const kernels::GroupedGemmArgs& args) = 0;
  virtual void launch(Stream& stream, const kernels::PackWeightedArgs& args) = 0;
  virtual void launch(Stream& stream, const kernels::SwigluGradArgs& args) = 0;
  virtual void launch(Stream& stream, const kernels::GateGradArgs& args) = 0;
  virtual void launch(Stream& stream, const kernels::WeightGradArgs& args) = 0;
};

/// Gives what is enqueued while it lives the name of a step.
class NamedStep {
 public:
  NamedStep(Device& device, const std::string& name) : device_(device) { device.begin_step(name); }
  ~NamedStep() { device_.end_step(); }
  NamedStep(const NamedStep&) = delete;
  NamedStep& operator=(const NamedStep&) = delete;

 private:
  Device& device_;
};

struct CpuOptions {
  /// GEMM threads of the whole process, the last device made deciding; 0: the cores this process may run on. Ranks that
  /// share those cores should each ask for their part.
  int threads = 0;
  /// MemoryUse::send memory is such as other processes can map (device/shared_memory.hpp): for an exchange that does,
  /// as the mpi exchange does by default. Linux seldom gives it huge pages, and system calls read it more slowly.
  bool share_sent_rows = true;
};

std::unique_ptr<Device> make_cpu_device(const CpuOptions& options);

}  // namespace ep::device
