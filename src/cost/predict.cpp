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

/// One rank's clock. Advances from event to event; stops at the arrival at a collective operation, whose end depends on
/// the other ranks' arrivals, and goes on once those are known.
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

  /// A collective operation starts at `time` >= now: others run on until then. It ends `duration_us` later, if nothing
  /// slows it; what it takes beyond the rank's own cost is spent waiting for others.
  void start_collective(std::size_t id, double time, double duration_us) {
    while (now_ < time) step(time);
    const double work_us = std::min(costs_[id].rank_us[rank_], duration_us);
    begin(id, {id, duration_us - work_us, work_us});
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
    double idle_us;  // left, before the work
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

  void begin(std::size_t id, const Running& work) {
    start_[id] = now_;
    running(schedule_.ops[id].lane) = work;
  }

  [[nodiscard]] bool works(Lane lane) { return running(lane) && running(lane)->idle_us <= 0; }

  /// Starts the next compute operation if it can, then moves to the next end of anything, at most to `limit`.
  void step(double limit) {
    while (next_compute_ < schedule_.ops.size() && is_collective(schedule_.ops[next_compute_])) ++next_compute_;
    if (next_compute_ < schedule_.ops.size() && !running(Lane::compute) && ready(schedule_.ops[next_compute_])) {
      const std::size_t id = next_compute_++;
      begin(id, {id, 0, costs_[id].rank_us[rank_]});
    }
    const bool both = works(Lane::compute) && works(Lane::comm);
    const std::array<double, 3> slow{1.0, both ? interference_.compute : 1.0, both ? interference_.comm : 1.0};
    const auto phase_us = [&](std::size_t lane) {
      const Running& it = *running_[lane];
      return it.idle_us > 0 ? it.idle_us : it.left_us * slow[lane];
    };
    double next = limit;
    for (std::size_t lane = 0; lane < running_.size(); ++lane) {
      if (running_[lane]) next = std::min(next, now_ + phase_us(lane));
    }
    for (std::size_t lane = 0; lane < running_.size(); ++lane) {
      if (running_[lane]) advance(running_[lane], next, now_ + phase_us(lane) <= next, slow[lane]);
    }
    now_ = next;
  }

  /// To `next`, at which the phase it is in may be over.
  void advance(std::optional<Running>& it, double next, bool over, double slow) {
    if (it->idle_us > 0) {
      it->idle_us = over ? 0 : it->idle_us - (next - now_);
    } else if (over) {
      end_[it->id] = next;
      it.reset();
    } else {
      it->left_us -= (next - now_) / slow;
    }
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
    std::vector<double> starts;
    for (RankClock& clock : clocks) starts.push_back(clock.arrive(id));
    const OperationCost& cost = costs[id];
    if (cost.flows == nullptr) starts.assign(starts.size(), *std::max_element(starts.begin(), starts.end()));
    const std::vector<double> ends = cost.flows ? cost.flows->ends_us(starts) : std::vector<double>{};
    for (std::size_t rank = 0; rank < clocks.size(); ++rank)
      clocks[rank].start_collective(id, starts[rank], cost.flows ? ends[rank] - starts[rank] : cost.rank_us[rank]);
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
