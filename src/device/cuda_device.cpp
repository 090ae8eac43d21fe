#include "device/cuda_device.hpp"

#include <algorithm>
#include <thread>

#include "cuda/error.hpp"
#include "cuda/gpu.hpp"
#include "cuda/nvtx.hpp"
#include "device/cuda_clock.hpp"
#include "device/cuda_gemm.hpp"
#include "device/cuda_staging.hpp"
#include "device/cuda_stream.hpp"
#include "device/host_memory.hpp"

namespace ep::device {
namespace {

using cuda::check_cuda;

template <class Unique>
Buffer owned_by(Unique memory, std::int64_t size_bytes) {
  auto* const data = static_cast<std::byte*>(memory.release());
  return {data, size_bytes, [](std::byte* bytes) { Unique(bytes).reset(); }};
}

/// Host memory that CUDA does not know, from which a copy would not be asynchronous.
bool is_pageable(const void* address) {
  cudaPointerAttributes attributes{};
  check_cuda(cudaPointerGetAttributes(&attributes, address));
  return attributes.type == cudaMemoryTypeUnregistered;
}

/// Selects the GPU before any member of the device touches it.
struct Selected {
  explicit Selected(const CudaOptions& options) {
    cuda::use_gpu(options.ordinal);
    const int sms = cuda::properties().multiProcessorCount;
    if (options.gemm_sms > sms)
      throw core::Error(core::ExitCode::unsupported,
                        fmt::format("{} SMs asked for GEMMs, where the GPU has {}", options.gemm_sms, sms));
  }
};

class CudaDevice final : public Device {
 public:
  explicit CudaDevice(const CudaOptions& options)
      : selected_(options),
        allocate_exchange_(options.allocate_exchange),
        compute_(cuda::Priority::normal),
        comm_(cuda::Priority::high),
        clock_(compute_.get()),
        gemm_(compute_.get(), options.gemm_sms) {
    keep_pool_memory(options.ordinal);
    cuda::name_stream(compute_.get(), "compute");
    cuda::name_stream(comm_.get(), "comm");
  }

  [[nodiscard]] std::string_view name() const override { return "cuda"; }
  [[nodiscard]] std::string description() const override {
    const cudaDeviceProp gpu = cuda::properties();
    return fmt::format("{}, {} SMs, compute capability {}.{}, {:.1f} GB", gpu.name, gpu.multiProcessorCount, gpu.major,
                       gpu.minor, static_cast<double>(gpu.totalGlobalMem) / 1e9);
  }
  [[nodiscard]] core::DType compute_dtype(core::DType payload) const override {
    return payload == core::DType::f32 ? core::DType::f32 : core::DType::bf16;
  }
  [[nodiscard]] std::int64_t available_bytes(MemoryUse use) const override {
    return use == MemoryUse::host_pinned ? available_host_bytes() : cuda::free_bytes();
  }
  Buffer allocate(std::int64_t size_bytes, MemoryUse use) override;

  Stream& compute_stream() override { return compute_; }
  Stream& comm_stream() override { return comm_; }
  std::unique_ptr<Event> create_event() override { return std::make_unique<CudaEvent>(); }
  void record(Event& event, Stream& stream) override;
  void wait(Stream& stream, const Event& event) override {
    const bool captured = cuda_stream(stream).capture() != nullptr;
    check_cuda(cudaStreamWaitEvent(raw(stream), captured ? cuda_event(event).order() : raw(event), 0));
  }
  void synchronize(const Event& event) override {
    wait_until([&] { return cudaEventQuery(raw(event)); });
  }
  void synchronize() override {
    wait_until([&] { return cudaStreamQuery(comm_.get()); });
    wait_until([&] { return cudaStreamQuery(compute_.get()); });
    comm_.watch();  // an error may have ended the work
    clock_.anchor();
  }
  [[nodiscard]] double time_us(const Event& event) const override { return clock_.time_us(raw(event)); }

  std::unique_ptr<Graph> capture(const std::function<void()>& enqueue) override {
    return std::make_unique<CudaGraph>(compute_, comm_, enqueue);
  }
  void replay(const Graph& graph) override { static_cast<const CudaGraph&>(graph).replay(compute_, comm_); }

  void begin_step(const std::string& name) override { cuda::begin_range(name); }
  void end_step() noexcept override { cuda::end_range(); }

  void copy(Stream& stream, void* to, const void* from, std::int64_t size_bytes) override;
  void fill(Stream& stream, void* to, int byte, std::int64_t size_bytes) override {
    check_cuda(cudaMemsetAsync(to, byte, static_cast<std::size_t>(size_bytes), raw(stream)));
  }

  void launch(Stream& stream, const kernels::BucketArgs& args) override;
  void launch(Stream& stream, const kernels::QuantiseArgs& args) override { kernels::quantise_cuda(args, raw(stream)); }
  void launch(Stream& stream, const kernels::PackArgs& args) override { kernels::pack_cuda(args, raw(stream)); }
  void launch(Stream& stream, const kernels::RegroupArgs& args) override { kernels::regroup_cuda(args, raw(stream)); }
  void launch(Stream& stream, const kernels::SwigluArgs& args) override { kernels::swiglu_cuda(args, raw(stream)); }
  void launch(Stream& stream, const kernels::ReduceArgs& args) override { kernels::reduce_cuda(args, raw(stream)); }
  void launch(Stream& stream, const kernels::GroupedGemmArgs& args) override {
    require_gemm_stream(stream);
    gemm_.launch(args);
  }
  void launch(Stream& stream, const kernels::PackWeightedArgs& args) override {
    kernels::pack_weighted_cuda(args, raw(stream));
  }
  void launch(Stream& stream, const kernels::SwigluGradArgs& args) override {
    kernels::swiglu_grad_cuda(args, raw(stream));
  }
  void launch(Stream& stream, const kernels::GateGradArgs& args) override {
    kernels::gate_grad_cuda(args, raw(stream));
  }
  void launch(Stream& stream, const kernels::WeightGradArgs& args) override {
    require_gemm_stream(stream);
    gemm_.launch(args);
  }

 private:
  static cudaStream_t raw(Stream& stream) { return cuda_stream(stream).get(); }
  static const CudaEvent& cuda_event(const Event& event) { return static_cast<const CudaEvent&>(event); }
  static cudaEvent_t raw(const Event& event) { return cuda_event(event).get(); }

  void require_gemm_stream(const Stream& stream) const {
    if (&stream != &compute_)
      throw core::Error(core::ExitCode::internal, "GEMMs run on the compute stream, which their workspace belongs to");
  }

  /// Polls `query`, and what enqueued the work, until it is done.
  template <class Query>
  void wait_until(Query query) {
    cudaError_t state = query();
    while (state == cudaErrorNotReady) {
      comm_.watch();
      std::this_thread::yield();
      state = query();
    }
    check_cuda(state);
  }

  /// The pool must not give memory back when the host waits: the next iteration wants it again.
  static void keep_pool_memory(int ordinal) {
    cudaMemPool_t pool = nullptr;
    check_cuda(cudaDeviceGetDefaultMemPool(&pool, ordinal));
    std::uint64_t all = UINT64_MAX;
    check_cuda(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &all));
  }

  Selected selected_;
  std::function<Buffer(std::int64_t)> allocate_exchange_;
  CudaStream compute_;
  CudaStream comm_;
  CudaClock clock_;
  CudaStaging staging_;
  CudaGemm gemm_;
};

Buffer CudaDevice::allocate(std::int64_t size_bytes, MemoryUse use) {
  const std::int64_t available = available_bytes(use);
  if (size_bytes < 0 || size_bytes > available)
    throw core::Error(core::ExitCode::unsupported,
                      fmt::format("cannot allocate {} bytes: {} are available", size_bytes, available));
  const bool exchanged = use == MemoryUse::send || use == MemoryUse::receive;
  if (exchanged && allocate_exchange_ && size_bytes > 0) return allocate_exchange_(size_bytes);
  const auto bytes = static_cast<std::size_t>(std::max<std::int64_t>(size_bytes, 1));
  if (use == MemoryUse::host_pinned) return owned_by(cuda::allocate_pinned(bytes), size_bytes);
  return owned_by(cuda::allocate_device(bytes), size_bytes);
}

/// An event recorded in a capture only marks a place in the graph; an external record takes the time at every replay.
void CudaDevice::record(Event& event, Stream& stream) {
  if (cuda_stream(stream).capture() == nullptr) return check_cuda(cudaEventRecord(raw(event), raw(stream)));
  check_cuda(cudaEventRecordWithFlags(raw(event), raw(stream), cudaEventRecordExternal));
  check_cuda(cudaEventRecord(cuda_event(event).order(), raw(stream)));
}

void CudaDevice::copy(Stream& stream, void* to, const void* from, std::int64_t size_bytes) {
  if (size_bytes == 0) return;
  // What is larger is copied once, while the layer is filled: there CUDA's own, half synchronous way will do.
  if (size_bytes <= CudaStaging::kSlotBytes && is_pageable(from) && !is_pageable(to)) {
    CudaGraph* const graph = cuda_stream(stream).capture();
    if (graph != nullptr) return graph->copy(raw(stream), to, from, size_bytes);
    return staging_.copy(raw(stream), to, from, size_bytes);
  }
  check_cuda(cudaMemcpyAsync(to, from, static_cast<std::size_t>(size_bytes), cudaMemcpyDefault, raw(stream)));
}

void CudaDevice::launch(Stream& stream, const kernels::BucketArgs& args) {
  kernels::BucketArgs with_scratch = args;
  check_cuda(cudaMallocAsync(&with_scratch.scratch, static_cast<std::size_t>(kernels::bucket_scratch_bytes(args)),
                             raw(stream)));
  kernels::bucket_cuda(with_scratch, raw(stream));
  check_cuda(cudaFreeAsync(with_scratch.scratch, raw(stream)));
}

}  // namespace

void prepare_cuda_environment() {
  cuda::prepare_environment();
}

CudaAvailability find_cuda_gpus() {
  const cuda::Availability found = cuda::find_gpus();
  return {found.gpus, found.reason};
}

std::string cuda_uuid(int ordinal) {
  return cuda::uuid(ordinal);
}

bool cuda_is_emulated() {
#ifdef EP_CUDA_EMULATED
  return true;
#else
  return false;
#endif
}

std::unique_ptr<Device> make_cuda_device(const CudaOptions& options) {
  return std::make_unique<CudaDevice>(options);
}

}  // namespace ep::device
