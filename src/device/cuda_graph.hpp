#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "cuda/handles.hpp"
#include "device/device.hpp"

namespace ep::device {

class CudaStream;

/// A CUDA graph of what was enqueued on two streams, with the host memory that its copies read.
class CudaGraph final : public Graph {
 public:
  /// Captures what `enqueue` puts on the streams. Throws Error (unsupported), with CUDA's reason, when that is refused;
  /// otherwise what `enqueue` throws. @pre both streams are idle
  CudaGraph(CudaStream& compute, CudaStream& comm, const std::function<void()>& enqueue);
  /// @pre no replay is under way, unless an exception ends the job
  ~CudaGraph() override;
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  /// Enqueues it behind what both streams hold; what either gets next runs after it.
  void replay(CudaStream& compute, CudaStream& comm) const;

  // While it is captured:

  /// Copies small pageable memory to the device, at every replay with the bytes of now.
  void copy(cudaStream_t stream, void* to, const void* from, std::int64_t bytes);
  /// `call` is called after each replay was enqueued, by whom has to know of it.
  void at_replay(std::function<void()> call) { at_replay_.push_back(std::move(call)); }
  /// What is launched, empty before the capture has ended. Who resets it ends the graph: a launch under way goes on.
  [[nodiscard]] const std::shared_ptr<cuda::UniqueGraphExec>& executable() const { return executable_; }

 private:
  void end_capture(cudaStream_t stream);

  std::vector<cuda::UniquePinnedMemory> copied_;
  std::vector<std::function<void()>> at_replay_;
  cuda::UniqueEvent order_ = cuda::make_order_event();
  std::shared_ptr<cuda::UniqueGraphExec> executable_ = std::make_shared<cuda::UniqueGraphExec>();
};

}  // namespace ep::device
