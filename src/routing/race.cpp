#include <algorithm>
#include <limits>

#include "routing/generators.hpp"
#include "routing/portable_math.hpp"

namespace ep::routing {

namespace {

/// Draws the unit exponentials of a token anew, each but with probability `keep` of staying what it was. The
/// distribution of every token stays the same whatever `keep` is.
void renew(std::span<double> noise, core::Random& random, double keep) {
  for (double& value : noise) {
    if (keep == 0.0 || random.uniform() >= keep) value = -natural_log(random.uniform());
  }
}

/// Fills `chosen` with the indices of the smallest arrivals, in their order; of equal ones the lower index first.
void first_arrivals(std::span<const double> arrival, std::span<std::int32_t> chosen) {
  std::size_t count = 0;
  const auto time_of = [&](std::size_t place) { return arrival[static_cast<std::size_t>(chosen[place])]; };
  for (std::size_t expert = 0; expert < arrival.size(); ++expert) {
    if (count == chosen.size() && arrival[expert] >= time_of(count - 1)) continue;
    std::size_t place = count < chosen.size() ? count++ : count - 1;
    for (; place > 0 && arrival[expert] < time_of(place - 1); --place) chosen[place] = chosen[place - 1];
    chosen[place] = static_cast<std::int32_t>(expert);
  }
}

}  // namespace

std::vector<std::int32_t> race(const RoutingShape& shape, const RaceParameters& parameters) {
  constexpr double kNever = std::numeric_limits<double>::infinity();
  const auto experts = static_cast<std::size_t>(shape.experts);
  const auto topk = static_cast<std::size_t>(shape.topk);
  std::vector<double> mean_time(experts);
  std::transform(parameters.popularity.begin(), parameters.popularity.end(), mean_time.begin(),
                 [](double popularity) { return 1.0 / popularity; });
  // A hot expert is in the token when its own noise falls below the quantile of hot_probability: exact, and as sticky
  // as the others. It then comes before all that race for the remaining slots.
  const double hot_limit = parameters.hot_probability < 1.0 ? -natural_log(1.0 - parameters.hot_probability) : kNever;

  std::vector<double> noise(experts);
  std::vector<double> arrival(experts);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(shape.tokens) * topk);
  for (std::int64_t token = 0; token < shape.tokens; ++token) {
    auto random = random_for(shape.seed, Purpose::token, token);
    renew(noise, random, token == 0 ? 0.0 : parameters.sticky);
    for (std::size_t expert = 0; expert < experts; ++expert) arrival[expert] = noise[expert] * mean_time[expert];
    for (const std::int32_t hot : parameters.hot_experts) {
      const auto expert = static_cast<std::size_t>(hot);
      arrival[expert] = noise[expert] < hot_limit ? 0.0 : kNever;
    }
    first_arrivals(arrival, std::span(ids).subspan(static_cast<std::size_t>(token) * topk, topk));
  }
  return ids;
}

}  // namespace ep::routing
