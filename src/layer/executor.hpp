#pragma once
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "layer/layer.hpp"
#include "schedule/timeline.hpp"

namespace ep::layer {

/// Which lanes of a schedule run: all of them, or one side alone, to see what it takes with nothing beside it.
enum class Phase : std::uint8_t { whole, compute_alone, comm_alone };

/// Walks schedules over a layer. Waits become events between streams; each operation leaves a start and an end time.
class Executor {
 public:
  /// @param graphs whether runs of a schedule (known by its address, so it must stay) are captured and replayed, but
  /// for the first: that one makes what is made once, such as connections and workspaces. Then nothing of a schedule
  /// may run on the host.
  explicit Executor(Layer& layer, bool graphs = false) : layer_(layer), with_graphs_(graphs) {}

  /// Cuts the layer's tokens as `schedule` wants them and, before a backward pass, runs the forward pass whose results
  /// it reads: right before, so that caches are as in training. @pre collective
  void prepare(const schedule::Schedule& schedule);

  /// Runs the operations of `phase` and returns when the device is idle. A phase other than `whole` reuses the counts
  /// and data of the last whole run with as many chunks: one must have gone before.
  /// Throws Error (unsupported) when it is to be captured and cannot be.
  /// @return this rank's spans in core::now_us() microseconds, in schedule order. @pre collective
  std::vector<schedule::Span> run(const schedule::Schedule& schedule, Phase phase);

  [[nodiscard]] device::Device& device() { return layer_.device(); }

 private:
  struct OpEvents {
    std::unique_ptr<device::Event> start;
    std::unique_ptr<device::Event> end;
  };
  void issue(const schedule::Schedule& schedule, const schedule::Operation& op, Phase phase, schedule::Span& span);
  void issue_all(const schedule::Schedule& schedule, Phase phase, std::vector<schedule::Span>& spans);
  const device::Graph* graph_of(const schedule::Schedule& schedule, Phase phase, std::vector<schedule::Span>& spans);

  Layer& layer_;
  bool with_graphs_;
  std::vector<OpEvents> events_;  // by operation id; reused, the device is idle between runs
  std::map<std::pair<const schedule::Schedule*, Phase>, std::unique_ptr<device::Graph>> graphs_;
};

}  // namespace ep::layer
