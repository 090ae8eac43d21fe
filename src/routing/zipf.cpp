#include "routing/generators.hpp"
#include "routing/portable_math.hpp"

namespace ep::routing {

RaceParameters zipf(const RoutingShape& shape, std::string_view exponent) {
  const double s = parse_within(exponent, "zipf S", 0.0, 20.0);
  std::vector<std::int32_t> by_rank(static_cast<std::size_t>(shape.experts));
  auto random = random_for(shape.seed, Purpose::popularity);
  Pool(shape.experts).draw(random, by_rank);
  RaceParameters parameters;
  parameters.popularity.resize(by_rank.size());
  for (std::size_t rank = 0; rank < by_rank.size(); ++rank) {
    parameters.popularity[static_cast<std::size_t>(by_rank[rank])] =
        exponential(-s * natural_log(static_cast<double>(rank + 1)));
  }
  return parameters;
}

}  // namespace ep::routing
