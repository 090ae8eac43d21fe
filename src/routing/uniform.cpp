#include <numeric>
#include <utility>

#include "routing/generators.hpp"

namespace ep::routing {

Pool::Pool(int count) : members_(static_cast<std::size_t>(count)) {
  std::iota(members_.begin(), members_.end(), 0);
}

void Pool::draw(core::Random& random, std::span<std::int32_t> drawn) {
  // A partial Fisher-Yates shuffle: whatever order the last draw left, the next is uniform again.
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    std::swap(members_[i], members_[i + random.below(members_.size() - i)]);
    drawn[i] = members_[i];
  }
}

std::vector<std::int32_t> uniform(const RoutingShape& shape) {
  const auto topk = static_cast<std::size_t>(shape.topk);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(shape.tokens) * topk);
  Pool pool(shape.experts);
  for (std::int64_t token = 0; token < shape.tokens; ++token) {
    auto random = random_for(shape.seed, Purpose::token, token);
    pool.draw(random, std::span(ids).subspan(static_cast<std::size_t>(token) * topk, topk));
  }
  return ids;
}

}  // namespace ep::routing
