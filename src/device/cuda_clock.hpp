#pragma once
#include "cuda/handles.hpp"

namespace ep::device {

/// Relates the times of events, of which CUDA tells differences only, to core::now_us(). Both ends of a stretch of time
/// are anchored, so that neither the drift of the GPU's clock nor the 24 bits of cudaEventElapsedTime add up.
class CudaClock {
 public:
  /// Starts a stretch on an idle `stream`. Throws Error (cuda).
  explicit CudaClock(cudaStream_t stream);

  /// Ends the stretch at which the next begins; times are then of the one that ended. @pre `stream` is idle
  void anchor();
  /// Host time at which `event` was reached, microseconds. @pre it was reached
  [[nodiscard]] double time_us(cudaEvent_t event) const;

 private:
  struct Anchor {
    cuda::UniqueEvent event = cuda::make_timed_event();
    double host_us = 0;
  };
  void take(Anchor& anchor);

  cudaStream_t stream_;
  Anchor first_;
  Anchor last_;
  Anchor trial_;
};

}  // namespace ep::device
