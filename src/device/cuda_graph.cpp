#include "device/cuda_graph.hpp"

#include <cstring>
#include <exception>
#include <string>

#include "cuda/error.hpp"
#include "device/cuda_stream.hpp"

namespace ep::device {
namespace {

using cuda::check_cuda;

[[noreturn]] void refuse(const std::string& why) {
  throw core::Error(core::ExitCode::unsupported, "this cannot be captured as a CUDA graph: " + why);
}

/// What `later` gets from now on runs after what `earlier` holds. In a capture: `later` takes part in it.
void put_behind(CudaStream& later, CudaStream& earlier, cudaEvent_t event) {
  check_cuda(cudaEventRecord(event, earlier.get()));
  check_cuda(cudaStreamWaitEvent(later.get(), event, 0));
}

/// Has both streams know the graph that is being captured.
class Capturing {
 public:
  Capturing(CudaStream& compute, CudaStream& comm, CudaGraph& graph) : compute_(compute), comm_(comm) {
    compute_.set_capture(&graph);
    comm_.set_capture(&graph);
  }
  ~Capturing() {
    compute_.set_capture(nullptr);
    comm_.set_capture(nullptr);
  }
  Capturing(const Capturing&) = delete;
  Capturing& operator=(const Capturing&) = delete;

 private:
  CudaStream& compute_;
  CudaStream& comm_;
};

/// Pinned memory, also while this thread captures: CUDA forbids that only because it might wait for other streams.
cuda::UniquePinnedMemory allocate_in_capture(std::size_t bytes) {
  cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  check_cuda(cudaThreadExchangeStreamCaptureMode(&mode));
  cuda::UniquePinnedMemory memory = cuda::allocate_pinned(bytes);
  check_cuda(cudaThreadExchangeStreamCaptureMode(&mode));
  return memory;
}

/// Ends a capture that came to nothing: what the stream gets from now on runs.
cudaError_t abandon_capture(cudaStream_t stream) {
  cudaGraph_t graph = nullptr;
  const cudaError_t state = cudaStreamEndCapture(stream, &graph);
  cudaGetLastError();  // else a later call of a library would report it again
  const cuda::UniqueGraph unfinished(graph);
  return state;
}

}  // namespace

/// Of this thread only, since NCCL may have threads of its own at work.
CudaGraph::CudaGraph(CudaStream& compute, CudaStream& comm, const std::function<void()>& enqueue) {
  const Capturing capturing(compute, comm, *this);
  check_cuda(cudaStreamBeginCapture(compute.get(), cudaStreamCaptureModeThreadLocal));
  try {
    put_behind(comm, compute, order_.get());
    enqueue();
    put_behind(compute, comm, order_.get());
  } catch (const core::Error& error) {
    if (abandon_capture(compute.get()) == cudaErrorStreamCaptureInvalidated) refuse(error.what());
    throw;
  } catch (...) {
    abandon_capture(compute.get());
    throw;
  }
  end_capture(compute.get());
}

/// A replay may be under way when an error ends the job, and wait for a rank that never comes: it is not waited for,
/// and keeps what it reads.
CudaGraph::~CudaGraph() {
  if (std::uncaught_exceptions() == 0) return;
  for (cuda::UniquePinnedMemory& memory : copied_) static_cast<void>(memory.release());
}

void CudaGraph::end_capture(cudaStream_t stream) {
  cudaGraph_t captured = nullptr;
  const cudaError_t ended = cudaStreamEndCapture(stream, &captured);
  const cuda::UniqueGraph graph(captured);
  if (ended != cudaSuccess) refuse(cudaGetErrorString(ended));
  cudaGraphExec_t executable = nullptr;
  // Without it communication would run at the priority of the stream that the graph is launched on.
  const cudaError_t made =
      cudaGraphInstantiateWithFlags(&executable, graph.get(), cudaGraphInstantiateFlagUseNodePriority);
  executable_->reset(executable);
  if (made != cudaSuccess) refuse(cudaGetErrorString(made));
}

void CudaGraph::replay(CudaStream& compute, CudaStream& comm) const {
  put_behind(compute, comm, order_.get());
  check_cuda(cudaGraphLaunch(executable_->get(), compute.get()));
  put_behind(comm, compute, order_.get());
  for (const auto& call : at_replay_) call();
}

void CudaGraph::copy(cudaStream_t stream, void* to, const void* from, std::int64_t bytes) {
  const auto count = static_cast<std::size_t>(bytes);
  copied_.push_back(allocate_in_capture(count));
  std::memcpy(copied_.back().get(), from, count);
  check_cuda(cudaMemcpyAsync(to, copied_.back().get(), count, cudaMemcpyHostToDevice, stream));
}

}  // namespace ep::device
