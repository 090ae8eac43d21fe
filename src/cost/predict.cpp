#include "cost/predict.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

namespace ep::cost {

namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

bool is_collective(const schedule::Operation& op) {
  return op.lane != schedule::Lane::compute;
}

/// One rank's clock. Advances from event to event; stops at the arrival at a collective operation, whose start depends
/// on the other ranks, and goes on once that start is known.
class RankClock {
 public:
  RankClock(const schedule::Schedule& schedule, const std::vector<OperationCost>& costs,
            const Interference& interference, std::size_t rank)
      : schedule_(schedule),
        costs_(costs),
        interference_(interference),
        rank_(rank),
        end_(schedule.ops.size(), kNever),
        start_(schedule.ops.size(), kNever) {}

  /// Runs until operation `id` could start on this rank, and returns that time.
  double arrive(std::size_t id) {
    while (!ready(schedule_.ops[id])) step(kNever);
    return now_;
  }

  /// A collective operation starts at `time` >= now: others run on until then.
  void start_collective(std::size_t id, double time) {
    while (now_ < time) step(time);
    begin(id);
  }

  void finish() {
    while (std::any_of(end_.begin(), end_.end(), [](double end) { return end == kNever; })) step(kNever);
  }

  void append_spans(std::vector<schedule::Span>& spans) const {
    for (const schedule::Operation& op : schedule_.ops) {
      const auto id = static_cast<std::size_t>(op.id);
      spans.push_back({static_cast<int>(rank_), op.lane, op.id, start_[id], end_[id]});
    }
  }

 private:
  struct Running {
    std::size_t id;
    double left_us;  // of work, at full speed
  };
  using Lane = schedule::Lane;

  [[nodiscard]] std::optional<Running>& running(Lane lane) { return running_[static_cast<std::size_t>(lane)]; }

  [[nodiscard]] bool ended(int id) const { return end_[static_cast<std::size_t>(id)] <= now_; }

  [[nodiscard]] bool ready(const schedule::Operation& op) const {
    for (int earlier = 0; earlier < op.id; ++earlier) {
      const Lane lane = schedule_.ops[static_cast<std::size_t>(earlier)].lane;
      if ((lane == op.lane || lane == Lane::host) && !ended(earlier)) return false;
    }
    return std::all_of(op.waits.begin(), op.waits.end(), [&](int wait) { return ended(wait); });
  }

  void begin(std::size_t id) {
    start_[id] = now_;
    running(schedule_.ops[id].lane) = Running{id, costs_[id].rank_us[rank_]};
  }

  /// Starts the next compute operation if it can, then moves to the next end of anything, at most to `limit`.
  void step(double limit) {
    while (next_compute_ < schedule_.ops.size() && is_collective(schedule_.ops[next_compute_])) ++next_compute_;
    if (next_compute_ < schedule_.ops.size() && !running(Lane::compute) && ready(schedule_.ops[next_compute_])) {
      begin(next_compute_++);
    }
    const bool both = running(Lane::compute) && running(Lane::comm);
    const std::array<double, 3> slow{1.0, both ? interference_.compute : 1.0, both ? interference_.comm : 1.0};
    double next = limit;
    for (std::size_t lane = 0; lane < running_.size(); ++lane) {
      if (running_[lane]) next = std::min(next, now_ + running_[lane]->left_us * slow[lane]);
    }
    for (std::size_t lane = 0; lane < running_.size(); ++lane) {
      if (!running_[lane]) continue;
      const double end = now_ + running_[lane]->left_us * slow[lane];
      if (end <= next) {
        end_[running_[lane]->id] = next;
        running_[lane].reset();
      } else {
        running_[lane]->left_us -= (next - now_) / slow[lane];
      }
    }
    now_ = next;
  }

  const schedule::Schedule& schedule_;
  const std::vector<OperationCost>& costs_;
  const Interference& interference_;
  std::size_t rank_;
  double now_ = 0;
  std::size_t next_compute_ = 0;
  std::array<std::optional<Running>, 3> running_;
  std::vector<double> end_;
  std::vector<double> start_;
};

}  // namespace

schedule::Timeline walk(const schedule::Schedule& schedule, const std::vector<OperationCost>& costs,
                        const Interference& interference) {
  if (costs.empty()) return {};
  std::vector<RankClock> clocks;
  for (std::size_t rank = 0; rank < costs.front().rank_us.size(); ++rank) {
    clocks.emplace_back(schedule, costs, interference, rank);
  }
  for (const schedule::Operation& op : schedule.ops) {
    if (!is_collective(op)) continue;
    const auto id = static_cast<std::size_t>(op.id);
    double last_arrival = 0;
    for (RankClock& clock : clocks) last_arrival = std::max(last_arrival, clock.arrive(id));
    for (RankClock& clock : clocks) clock.start_collective(id, last_arrival);
  }
  schedule::Timeline timeline;
  for (RankClock& clock : clocks) {
    clock.finish();
    clock.append_spans(timeline.spans);
  }
  return timeline;
}

Prediction predict(const schedule::Schedule& schedule, const Machine& machine) {
  Prediction prediction;
  for (const schedule::Operation& op : schedule.ops) prediction.operations.push_back(operation_cost(op, machine));
  prediction.timeline = walk(schedule, prediction.operations, machine.interference);
  prediction.total_us = schedule::iteration_us(prediction.timeline);
  return prediction;
}

}  // namespace ep::cost
