#pragma once
#include <memory>
#include <vector>

#include "layer/layer.hpp"
#include "schedule/timeline.hpp"

namespace ep::layer {

/// Which lanes of a schedule run: all of them, or one side alone, to see what it takes with nothing beside it.
enum class Phase : std::uint8_t { whole, compute_alone, comm_alone };

/// Walks schedules over a layer. Waits become events between streams; each operation leaves a start and an end time.
class Executor {
 public:
  explicit Executor(Layer& layer) : layer_(layer) {}

  /// Cuts the layer's tokens as `schedule` wants them and, before a backward pass, runs the forward pass whose results
  /// it reads: right before, so that caches are as in training. @pre collective
  void prepare(const schedule::Schedule& schedule);

  /// Runs the operations of `phase` and returns when the device is idle. A phase other than `whole` reuses the counts
  /// and data of the last whole run with as many chunks: one must have gone before.
  /// @return this rank's spans in core::now_us() microseconds, in schedule order. @pre collective
  std::vector<schedule::Span> run(const schedule::Schedule& schedule, Phase phase);

 private:
  struct OpEvents {
    std::unique_ptr<device::Event> start;
    std::unique_ptr<device::Event> end;
  };
  void issue(const schedule::Schedule& schedule, const schedule::Operation& op, Phase phase, schedule::Span& span);

  Layer& layer_;
  std::vector<OpEvents> events_;  // by operation id; reused, the device is idle between runs
};

}  // namespace ep::layer
