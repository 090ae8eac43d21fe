#include "device/cuda_clock.hpp"

#include <limits>
#include <utility>

#include "core/clock.hpp"
#include "cuda/error.hpp"

namespace ep::device {

CudaClock::CudaClock(cudaStream_t stream) : stream_(stream) {
  take(first_);
  take(last_);
}

/// The event was reached between the two looks at the host's clock; of several tries the closest two are the best. An
/// undisturbed host is that close at once.
void CudaClock::take(Anchor& anchor) {
  constexpr int kTries = 10;
  constexpr double kCloseUs = 20;
  double closest = std::numeric_limits<double>::max();
  for (int i = 0; i < kTries && closest > kCloseUs; ++i) {
    const double before = core::now_us();
    cuda::check_cuda(cudaEventRecord(trial_.event.get(), stream_));
    cuda::check_cuda(cudaEventSynchronize(trial_.event.get()));
    const double after = core::now_us();
    if (after - before >= closest) continue;
    closest = after - before;
    trial_.host_us = (before + after) / 2;
    std::swap(anchor, trial_);
  }
}

void CudaClock::anchor() {
  std::swap(first_, last_);
  take(last_);
}

double CudaClock::time_us(cudaEvent_t event) const {
  const double ticks = cuda::elapsed_us(first_.event.get(), last_.event.get());
  const double since = cuda::elapsed_us(first_.event.get(), event);
  // Too short a stretch tells no rate.
  constexpr double kShortestUs = 1000;
  const double rate = ticks > kShortestUs ? (last_.host_us - first_.host_us) / ticks : 1;
  return first_.host_us + since * rate;
}

}  // namespace ep::device
