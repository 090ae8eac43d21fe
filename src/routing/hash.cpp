#include "core/hash.hpp"

#include "routing/routing.hpp"

namespace ep::routing {

std::uint64_t hash(const Routing& routing) {
  core::Fnv1a fingerprint;
  fingerprint.add(routing.tokens);
  fingerprint.add(std::int64_t{routing.topk});
  fingerprint.add(std::int64_t{routing.experts});
  for (const std::int32_t id : routing.expert_ids) fingerprint.add(id);
  return fingerprint.value();
}

}  // namespace ep::routing
