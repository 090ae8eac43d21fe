#include "bench/sampler.hpp"

#include <algorithm>

#include "core/clock.hpp"
#include "layer/iteration.hpp"
#include "measure/statistics.hpp"

namespace ep::bench {

namespace {

constexpr double kBatch = 10;
constexpr double kLongestLimitUs = 1e15;
constexpr double kPrecision = 0.02;  // of the median, either way

double extent_us(const std::vector<schedule::Span>& spans) {
  if (spans.empty()) return 0;
  double first = spans.front().start_us;
  double last = spans.front().end_us;
  for (const schedule::Span& span : spans) {
    first = std::min(first, span.start_us);
    last = std::max(last, span.end_us);
  }
  return last - first;
}

double busy_us(const std::vector<schedule::Span>& spans, schedule::Lane lane) {
  double busy = 0;
  for (const schedule::Span& span : spans) busy += span.lane == lane ? span.end_us - span.start_us : 0;
  return busy;
}

/// What one rank saw in one batch of one schedule.
struct LocalBatch {
  std::vector<std::vector<schedule::Span>> iterations;
  std::vector<measure::OverlapSample> overlap;
  std::vector<double> waited_us;
};

/// Everything of one schedule so far.
class Series {
 public:
  Series(layer::Executor& executor, const schedule::Schedule& schedule, const mpi::Communicator& communicator,
         Samples& samples)
      : executor_(executor), schedule_(schedule), communicator_(communicator), samples_(samples) {
    samples_.overlap.resize(static_cast<std::size_t>(communicator.size()));
    samples_.waited_us.resize(samples_.overlap.size());
  }

  /// Kept unless warming up.
  void iterate(bool keep) {
    layer::Iteration iteration = layer::iterate(executor_, schedule_, communicator_);
    if (!keep) return;
    batch_.overlap.push_back({extent_us(iteration.whole), extent_us(iteration.compute_alone),
                              extent_us(iteration.comm_alone), busy_us(iteration.whole, schedule::Lane::compute)});
    batch_.iterations.push_back(std::move(iteration.whole));
    batch_.waited_us.push_back(iteration.waited_us.value_or(kUnknown));
  }

  /// Brings the batch together from all ranks, on rank 0's clock. @pre collective
  void gather(const mpi::ClockMap& clock, std::mutex& mutex) {
    std::vector<double> mine;
    for (std::size_t i = 0; i < batch_.iterations.size(); ++i) {
      for (const schedule::Span& span : batch_.iterations[i]) {
        mine.push_back(span.start_us + clock.offset_us(span.start_us));
        mine.push_back(span.end_us + clock.offset_us(span.end_us));
      }
      const measure::OverlapSample& overlap = batch_.overlap[i];
      mine.insert(mine.end(), {overlap.both_us, overlap.compute_alone_us, overlap.comm_alone_us,
                               overlap.compute_with_comm_us, batch_.waited_us[i]});
    }
    const std::vector<double> all = communicator_.gather_all(std::span<const double>(mine));
    // Two ranks may both be off by as much, in opposite directions.
    const double uncertainty = 2 * communicator_.max(clock.uncertainty_us());
    const std::lock_guard lock(mutex);
    const std::size_t first = samples_.iterations.size();
    samples_.iterations.resize(first + batch_.iterations.size());
    auto next = all.begin();
    for (int rank = 0; rank < communicator_.size(); ++rank) {
      for (std::size_t i = first; i < samples_.iterations.size(); ++i) {
        for (const schedule::Operation& op : schedule_.ops) {
          samples_.iterations[i].spans.push_back({rank, op.lane, op.id, next[0], next[1]});
          next += 2;
        }
        samples_.overlap[static_cast<std::size_t>(rank)].push_back({next[0], next[1], next[2], next[3]});
        samples_.waited_us[static_cast<std::size_t>(rank)].push_back(next[4]);
        next += 5;
      }
    }
    samples_.clock_uncertainty_us = std::max(samples_.clock_uncertainty_us, uncertainty);
    batch_ = {};
  }

  [[nodiscard]] bool converged(int least) const {
    std::vector<double> times;
    for (const schedule::Timeline& timeline : samples_.iterations) times.push_back(schedule::iteration_us(timeline));
    return !times.empty() && measure::converged(measure::summarise(times), std::ssize(times), least, kPrecision);
  }

  void finish(int least) { samples_.converged = converged(least); }

 private:
  static constexpr double kUnknown = -1;

  layer::Executor& executor_;
  const schedule::Schedule& schedule_;
  const mpi::Communicator& communicator_;
  LocalBatch batch_;
  Samples& samples_;
};

}  // namespace

void take_samples(layer::Executor& executor, const std::vector<schedule::Schedule>& schedules,
                  const mpi::Communicator& communicator, const mpi::ClockSync& clock, const StopRule& rule,
                  SampleSet& samples) {
  {
    const std::lock_guard lock(samples.mutex);
    samples.of_schedule.resize(schedules.size());
  }
  std::vector<Series> series;
  for (std::size_t i = 0; i < schedules.size(); ++i)
    series.emplace_back(executor, schedules[i], communicator, samples.of_schedule[i]);
  const double start = core::now_us();
  const double limit_us = std::min(rule.time_limit_s * 1e6, kLongestLimitUs);
  for (std::int64_t left = rule.warmup; left > 0;) {
    for (Series& one : series) one.iterate(false);
    // A slow job warms up once and no more than its time allows.
    left = core::now_us() - start > limit_us / 4 ? 0 : left - 1;
    communicator.broadcast_value(left, 0);
  }
  std::int64_t taken = 0;
  const double measuring = core::now_us();
  for (std::int64_t batch = 1; batch > 0;) {
    const mpi::ClockSample before = clock.measure();
    for (std::int64_t i = 0; i < batch; ++i) {
      for (Series& one : series) one.iterate(true);
    }
    const mpi::ClockMap map(before, clock.measure());
    for (Series& one : series) one.gather(map, samples.mutex);
    taken += batch;
    const bool done =
        std::all_of(series.begin(), series.end(), [&](const Series& one) { return one.converged(rule.iterations); });
    const double now = core::now_us();
    const double elapsed = now - start;
    const double left = limit_us - elapsed;
    // As many as fit, so that the limit holds for slow iterations too.
    const double fit = left / ((now - measuring) / static_cast<double>(taken));
    batch = done ? 0 : static_cast<std::int64_t>(std::clamp(fit, 0.0, kBatch));
    communicator.broadcast_value(batch, 0);
  }
  for (Series& one : series) one.finish(rule.iterations);
}

}  // namespace ep::bench
