#include "routing/generators.hpp"

namespace ep::routing {

void fill_gate_weights(Routing& routing, std::uint64_t seed) {
  const auto topk = static_cast<std::size_t>(routing.topk);
  routing.gate_weights.assign(routing.expert_ids.size(), 0.0F);
  std::vector<double> weights(topk);
  for (std::int64_t token = 0; token < routing.tokens; ++token) {
    const auto ids = routing.experts_of(token);
    auto random = random_for(seed, Purpose::gate_weights, token);
    auto height = static_cast<double>(topk);
    double sum = 0.0;
    for (std::size_t slot = 0; slot < topk; ++slot) {
      if (ids[slot] == kMasked) continue;
      // Steps of 1 with noise of at most 1/2: falling without sorting, and never close enough to round to equal.
      weights[slot] = height + 0.5 * random.uniform();
      sum += weights[slot];
      height -= 1.0;
    }
    float* const row = routing.gate_weights.data() + static_cast<std::size_t>(token) * topk;
    for (std::size_t slot = 0; slot < topk; ++slot) {
      if (ids[slot] != kMasked) row[slot] = static_cast<float>(weights[slot] / sum);
    }
  }
}

}  // namespace ep::routing
