#include "measure/overlap.hpp"

#include <algorithm>
#include <vector>

#include "core/median.hpp"

namespace ep::measure {

std::optional<Overlap> overlap(std::span<const OverlapSample> samples) {
  const auto has_both = [](const OverlapSample& s) { return s.comm_alone_us > 0 && s.compute_alone_us > 0; };
  if (samples.empty() || !std::all_of(samples.begin(), samples.end(), has_both)) return std::nullopt;

  const auto median_of = [samples](auto figure) {
    std::vector<double> values;
    values.reserve(samples.size());
    for (const OverlapSample& sample : samples) values.push_back(figure(sample));
    return core::median(std::move(values));
  };
  return Overlap{
      .exposed_us = median_of([](const OverlapSample& s) { return s.both_us - s.compute_alone_us; }),
      .efficiency = median_of([](const OverlapSample& s) {
        return (s.comm_alone_us + s.compute_alone_us - s.both_us) / std::min(s.comm_alone_us, s.compute_alone_us);
      }),
      .interference = median_of([](const OverlapSample& s) { return s.compute_with_comm_us / s.compute_alone_us; })};
}

}  // namespace ep::measure
