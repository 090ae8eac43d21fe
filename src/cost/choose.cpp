#include "cost/choose.hpp"

#include <algorithm>
#include <tuple>

#include "cost/predict.hpp"

namespace ep::cost {

namespace {

double longest_compute_us(const schedule::Timeline& timeline, int ranks) {
  std::vector<double> busy(static_cast<std::size_t>(ranks));
  for (const schedule::Span& span : timeline.spans) {
    if (span.lane == schedule::Lane::compute) busy[static_cast<std::size_t>(span.rank)] += span.end_us - span.start_us;
  }
  return *std::max_element(busy.begin(), busy.end());
}

}  // namespace

std::vector<Candidate> rank_schedules(std::span<const schedule::Schedule> schedules, const Machine& machine) {
  std::vector<Candidate> candidates;
  for (std::size_t i = 0; i < schedules.size(); ++i) {
    const Prediction prediction = predict(schedules[i], machine);
    candidates.push_back({i, prediction.total_us, longest_compute_us(prediction.timeline, machine.topology.ranks())});
  }
  const auto key = [&](const Candidate& c) { return std::tuple(c.total_us, schedules[c.schedule].ops.size()); };
  std::stable_sort(candidates.begin(), candidates.end(),
                   [&](const Candidate& a, const Candidate& b) { return key(a) < key(b); });
  return candidates;
}

}  // namespace ep::cost
