#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "routing/generators.hpp"
#include "routing/limits.hpp"
#include "routing/routing.hpp"

namespace ep::routing {

namespace {

/// (17 * token + 31 * slot + seed) mod experts repeats after as many tokens as there are experts.
std::vector<double> expected_stride(RoutingShape shape) {
  shape.tokens = shape.experts;
  std::vector<double> copies(static_cast<std::size_t>(shape.experts));
  for (const std::int32_t expert : stride(shape)) copies[static_cast<std::size_t>(expert)] += 1.0 / shape.experts;
  return copies;
}

/// Of many experts that race, those that arrive before a time t are in the token; t is where topk of them do on
/// average, so expert e is in it with probability 1 - exp(-popularity[e] * t) (Rosén, "Asymptotic theory for order
/// sampling", 1997). Hot experts are in it with a probability of their own.
std::vector<double> expected_race(const RoutingShape& shape, const RaceParameters& parameters) {
  std::vector<double> popularity = parameters.popularity;
  for (const std::int32_t hot : parameters.hot_experts) popularity[static_cast<std::size_t>(hot)] = 0;
  const double wanted = shape.topk - parameters.hot_probability * static_cast<double>(parameters.hot_experts.size());
  const auto arrived = [&](double time) {
    double sum = 0;
    for (const double rate : popularity) sum -= std::expm1(-rate * time);
    return sum;
  };
  double early = -700;  // of ln t
  double late = 700;
  for (int step = 0; step < 60; ++step) {
    const double middle = 0.5 * (early + late);
    (arrived(std::exp(middle)) < wanted ? early : late) = middle;
  }
  std::vector<double> copies;
  for (const double rate : popularity) copies.push_back(-std::expm1(-rate * std::exp(late)));
  for (const std::int32_t hot : parameters.hot_experts) {
    copies[static_cast<std::size_t>(hot)] = parameters.hot_probability;
  }
  return copies;
}

}  // namespace

std::vector<double> expected_copies(std::string_view spec, const RoutingShape& shape) {
  check_sizes(kRoutingOption, 0, shape.topk, shape.experts);
  if (spec == "uniform") {
    return std::vector<double>(static_cast<std::size_t>(shape.experts), double{1} * shape.topk / shape.experts);
  }
  if (spec == "stride") return expected_stride(shape);
  const auto colon = spec.find(':');
  const auto name = spec.substr(0, colon);
  const auto arguments = colon == std::string_view::npos ? std::string_view() : spec.substr(colon + 1);
  if (name == "lognormal") return expected_race(shape, lognormal(shape, arguments));
  if (name == "zipf") return expected_race(shape, zipf(shape, arguments));
  if (name == "hot") return expected_hot_fraction(shape, arguments);
  throw unknown_spec(spec);
}

}  // namespace ep::routing
