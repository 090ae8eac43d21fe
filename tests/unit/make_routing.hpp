#pragma once
#include <cstdint>
#include <utility>
#include <vector>

#include "routing/routing.hpp"

namespace ep::test {

/// A routing from its ids [tokens, topk], without gate weights.
inline routing::Routing make_routing(std::int64_t tokens, int topk, int experts, std::vector<std::int32_t> ids = {}) {
  routing::Routing routing;
  routing.tokens = tokens;
  routing.topk = topk;
  routing.experts = experts;
  routing.expert_ids = std::move(ids);
  routing.source = "test";
  return routing;
}

}  // namespace ep::test
