#include "layer/gather.hpp"

#include <span>

namespace ep::layer {

schedule::Timeline gather(const mpi::Communicator& communicator, const mpi::ClockMap& clock,
                          const std::vector<schedule::Span>& mine) {
  std::vector<double> times;
  for (const schedule::Span& span : mine) {
    times.push_back(span.start_us + clock.offset_us(span.start_us));
    times.push_back(span.end_us + clock.offset_us(span.end_us));
  }
  const std::vector<double> all = communicator.gather_all(std::span<const double>(times));
  schedule::Timeline timeline;
  auto next = all.begin();
  for (int rank = 0; rank < communicator.size(); ++rank) {
    for (const schedule::Span& span : mine) {
      timeline.spans.push_back({rank, span.lane, span.op, next[0], next[1]});
      next += 2;
    }
  }
  return timeline;
}

}  // namespace ep::layer
