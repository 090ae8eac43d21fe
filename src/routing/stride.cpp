#include "routing/generators.hpp"

namespace ep::routing {

std::vector<std::int32_t> stride(const RoutingShape& shape) {
  const auto experts = static_cast<std::size_t>(shape.experts);
  const auto topk = static_cast<std::size_t>(shape.topk);
  const std::size_t offset = shape.seed % experts;  // before adding: seed may be close to 2^64
  std::vector<std::int64_t> last_token(experts, -1);
  std::vector<std::int32_t> ids;
  ids.reserve(static_cast<std::size_t>(shape.tokens) * topk);
  for (std::int64_t token = 0; token < shape.tokens; ++token) {
    for (std::size_t slot = 0; slot < topk; ++slot) {
      std::size_t expert = (17 * static_cast<std::size_t>(token) + 31 * slot + offset) % experts;
      while (last_token[expert] == token) expert = (expert + 1) % experts;
      last_token[expert] = token;
      ids.push_back(static_cast<std::int32_t>(expert));
    }
  }
  return ids;
}

}  // namespace ep::routing
