#include "schedule/timeline.hpp"

#include <algorithm>
#include <limits>

namespace ep::schedule {

namespace {

double earliest_start(const Timeline& timeline) {
  double earliest = std::numeric_limits<double>::infinity();
  for (const Span& span : timeline.spans) earliest = std::min(earliest, span.start_us);
  return earliest;
}

}  // namespace

double iteration_us(const Timeline& timeline) {
  if (timeline.spans.empty()) return 0;
  double latest = -std::numeric_limits<double>::infinity();
  for (const Span& span : timeline.spans) latest = std::max(latest, span.end_us);
  return latest - earliest_start(timeline);
}

std::vector<double> lateness_us(const Timeline& timeline, int ranks) {
  std::vector<double> first(static_cast<std::size_t>(ranks), std::numeric_limits<double>::infinity());
  for (const Span& span : timeline.spans) {
    double& mine = first[static_cast<std::size_t>(span.rank)];
    mine = std::min(mine, span.start_us);
  }
  const double earliest = earliest_start(timeline);
  for (double& start : first) start -= earliest;
  return first;
}

std::vector<OpTime> op_times(const Schedule& schedule, const Timeline& timeline) {
  std::vector<OpTime> times(schedule.ops.size());
  std::vector<std::vector<Span>> by_op(schedule.ops.size());
  for (const Span& span : timeline.spans) by_op[static_cast<std::size_t>(span.op)].push_back(span);
  const double origin = earliest_start(timeline);
  for (const Operation& op : schedule.ops) {
    const auto& spans = by_op[static_cast<std::size_t>(op.id)];
    if (spans.empty()) continue;
    OpTime& time = times[static_cast<std::size_t>(op.id)];
    const auto [first, last] = std::minmax_element(
        spans.begin(), spans.end(), [](const Span& a, const Span& b) { return a.start_us < b.start_us; });
    const bool together = op.lane != Lane::compute;
    time.start_us = (together ? last : first)->start_us - origin;
    for (const Span& span : spans) {
      const double duration = span.end_us - (together ? last->start_us : span.start_us);
      if (duration <= time.duration_us) continue;
      time.duration_us = duration;
      time.slowest_rank = span.rank;
    }
  }
  return times;
}

}  // namespace ep::schedule
