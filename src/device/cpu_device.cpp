#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/mman.h>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/affinity.hpp"
#include "core/error.hpp"
#include "device/cpu_stream.hpp"
#include "device/device.hpp"
#include "device/host_memory.hpp"
#include "device/shared_memory.hpp"

namespace ep::device {
namespace {

constexpr std::int64_t kAlignment = 256;
constexpr std::int64_t kHugePage = 2 << 20;

Buffer allocate_host(std::int64_t size_bytes) {
  const std::int64_t alignment = size_bytes >= kHugePage ? kHugePage : kAlignment;
  const std::int64_t rounded = (std::max<std::int64_t>(size_bytes, 1) + alignment - 1) / alignment * alignment;
  void* data = std::aligned_alloc(static_cast<std::size_t>(alignment), static_cast<std::size_t>(rounded));
  if (data == nullptr) {
    throw core::Error(core::ExitCode::unsupported, fmt::format("cannot allocate {} bytes of host memory", size_bytes));
  }
  // Advice only: pack touches rows all over the buffer, and with small pages misses the TLB on each.
  if (alignment == kHugePage) madvise(data, static_cast<std::size_t>(rounded), MADV_HUGEPAGE);
  std::memset(data, 0, static_cast<std::size_t>(rounded));  // page faults now, not in what is timed
  return {static_cast<std::byte*>(data), size_bytes, [](std::byte* bytes) { std::free(bytes); }};
}

class CpuDevice final : public Device {
 public:
  explicit CpuDevice(const CpuOptions& options)
      : threads_(options.threads > 0 ? options.threads : core::core_count()),
        share_sent_rows_(options.share_sent_rows),
        compute_(stop_),
        comm_(stop_) {
    kernels::set_gemm_threads(threads_);
  }

  [[nodiscard]] std::string_view name() const override { return "cpu"; }
  [[nodiscard]] std::string description() const override {
    return fmt::format("{}, {} with {} thread{}", core::cpu_model(), kernels::gemm_library(), threads_,
                       threads_ == 1 ? "" : "s");
  }
  [[nodiscard]] core::DType compute_dtype(core::DType /*payload*/) const override { return core::DType::f32; }
  [[nodiscard]] std::int64_t available_bytes(MemoryUse /*use*/) const override { return available_host_bytes(); }

  Buffer allocate(std::int64_t size_bytes, MemoryUse use) override {
    const std::int64_t available = available_bytes(use);
    if (size_bytes < 0 || size_bytes > available) {
      throw core::Error(
          core::ExitCode::unsupported,
          fmt::format("cannot allocate {} bytes of host memory: {} are available", size_bytes, available));
    }
    const bool shared = use == MemoryUse::send && share_sent_rows_ && size_bytes > 0;
    return shared ? allocate_shared(size_bytes) : allocate_host(size_bytes);
  }

  Stream& compute_stream() override { return compute_; }
  Stream& comm_stream() override { return comm_; }
  std::unique_ptr<Event> create_event() override { return std::make_unique<CpuEvent>(); }

  void record(Event& event, Stream& stream) override { cpu(stream).record(cpu(event).renew()); }
  void wait(Stream& stream, const Event& event) override { cpu(stream).wait(cpu(event).latest()); }
  void synchronize(const Event& event) override {
    cpu(event).latest()->await();
    stop_.rethrow();
  }
  void synchronize() override {
    const auto compute_end = std::make_shared<CpuMark>();
    const auto comm_end = std::make_shared<CpuMark>();
    compute_.record(compute_end);
    comm_.record(comm_end);
    compute_end->await();
    comm_end->await();
    stop_.rethrow();
  }
  [[nodiscard]] double time_us(const Event& event) const override {
    const auto& mark = cpu(event).latest();
    if (!mark->reached()) throw core::Error(core::ExitCode::internal, "an event was asked for its time too early");
    return mark->time_us();
  }

  [[nodiscard]] std::optional<double> waited_for_core_us() const override {
    if (!core_wait_ && compute_.thread() != 0) core_wait_.emplace(compute_.thread());
    return core_wait_ ? core_wait_->us() : std::nullopt;
  }
  std::unique_ptr<Graph> capture(const std::function<void()>& /*enqueue*/) override {
    throw core::Error(core::ExitCode::unsupported, "the cpu device has no graphs");
  }
  void replay(const Graph& /*graph*/) override {}

  void copy(Stream& stream, void* to, const void* from, std::int64_t size_bytes) override {
    if (size_bytes == 0) return;  // an empty buffer may have no address, which memcpy must not get
    cpu(stream).enqueue([=] { std::memcpy(to, from, static_cast<std::size_t>(size_bytes)); });
  }
  void fill(Stream& stream, void* to, int byte, std::int64_t size_bytes) override {
    if (size_bytes == 0) return;
    cpu(stream).enqueue([=] { std::memset(to, byte, static_cast<std::size_t>(size_bytes)); });
  }

  void launch(Stream& stream, const kernels::BucketArgs& args) override {
    cpu(stream).enqueue([args] { kernels::bucket_cpu(args); });
  }
  void launch(Stream& stream, const kernels::QuantiseArgs& args) override {
    cpu(stream).enqueue([args] { kernels::quantise_cpu(args); });
  }
  void launch(Stream& stream, const kernels::PackArgs& args) override {
    cpu(stream).enqueue([args] { kernels::pack_cpu(args); });
  }
  void launch(Stream& stream, const kernels::RegroupArgs& args) override {
    cpu(stream).enqueue([args] { kernels::regroup_cpu(args); });
  }
  void launch(Stream& stream, const kernels::SwigluArgs& args) override {
    cpu(stream).enqueue([args] { kernels::swiglu_cpu(args); });
  }
  void launch(Stream& stream, const kernels::ReduceArgs& args) override {
    cpu(stream).enqueue([args] { kernels::reduce_cpu(args); });
  }
  void launch(Stream& stream, const kernels::GroupedGemmArgs& args) override {
    enqueue_with_rows(stream, args, kernels::grouped_gemm_cpu);
  }
  void launch(Stream& stream, const kernels::PackWeightedArgs& args) override {
    cpu(stream).enqueue([args] { kernels::pack_weighted_cpu(args); });
  }
  void launch(Stream& stream, const kernels::SwigluGradArgs& args) override {
    cpu(stream).enqueue([args] { kernels::swiglu_grad_cpu(args); });
  }
  void launch(Stream& stream, const kernels::GateGradArgs& args) override {
    cpu(stream).enqueue([args] { kernels::gate_grad_cpu(args); });
  }
  void launch(Stream& stream, const kernels::WeightGradArgs& args) override {
    enqueue_with_rows(stream, args, kernels::weight_grad_cpu);
  }

 private:
  // Streams and events come from this device, whose only kind they are.
  static CpuStream& cpu(Stream& stream) { return static_cast<CpuStream&>(stream); }
  static CpuEvent& cpu(Event& event) { return static_cast<CpuEvent&>(event); }
  static const CpuEvent& cpu(const Event& event) { return static_cast<const CpuEvent&>(event); }

  /// The caller's rows of each group may be gone when the GEMM runs.
  template <class Args>
  static void enqueue_with_rows(Stream& stream, const Args& args, void (*gemm)(const Args&)) {
    std::vector<std::int64_t> rows(args.group_rows.begin(), args.group_rows.end());
    cpu(stream).enqueue([args = args, rows = std::move(rows), gemm]() mutable {
      args.group_rows = rows;
      gemm(args);
    });
  }

  int threads_;
  bool share_sent_rows_;
  CpuStop stop_;
  CpuStream compute_;
  CpuStream comm_;
  mutable std::optional<core::CoreWait> core_wait_;  // of compute_, once its thread runs
};

}  // namespace

std::unique_ptr<Device> make_cpu_device(const CpuOptions& options) {
  return std::make_unique<CpuDevice>(options);
}

}  // namespace ep::device
