#include "routing/check.hpp"

#include <string_view>

#include <fmt/format.h>

#include "core/error.hpp"

namespace ep::routing {

using core::InputError;

namespace {

void check_length(const Routing& routing, std::string_view field, std::size_t length) {
  if (length != static_cast<std::size_t>(routing.tokens * routing.topk)) {
    throw InputError(routing.source, field, fmt::format("{} entries", length),
                     fmt::format("wanted {} tokens * {} slots", routing.tokens, routing.topk));
  }
}

}  // namespace

void check_sizes(std::string_view source, std::int64_t tokens, std::int64_t topk, std::int64_t experts) {
  const auto fail = [source](std::string_view field, std::int64_t value, const std::string& wanted) {
    throw InputError(source, field, std::to_string(value), wanted);
  };
  if (tokens < 0) fail("tokens", tokens, "wanted 0 or more");
  if (experts < 1 || experts > kMaxExperts) fail("experts", experts, fmt::format("wanted 1 to {}", kMaxExperts));
  if (topk < 1 || topk > experts) fail("topk", topk, fmt::format("wanted 1 to the number of experts, {}", experts));
  if (tokens > kMaxCopies / topk) {
    fail("tokens", tokens, fmt::format("with topk {} wanted at most {} (2^28 copies)", topk, kMaxCopies / topk));
  }
}

void check(const Routing& routing, const SlotName& slot_name) {
  check_sizes(routing.source, routing.tokens, routing.topk, routing.experts);
  check_length(routing, "expert_ids", routing.expert_ids.size());
  check_length(routing, "gate_weights", routing.gate_weights.size());
  std::vector<std::int64_t> last_token(static_cast<std::size_t>(routing.experts), -1);
  for (std::int64_t token = 0; token < routing.tokens; ++token) {
    const auto ids = routing.experts_of(token);
    for (std::size_t slot = 0; slot < ids.size(); ++slot) {
      const auto fail = [&](const std::string& wanted) {
        throw InputError(routing.source, slot_name(token, static_cast<std::int64_t>(slot)), std::to_string(ids[slot]),
                         wanted);
      };
      if (ids[slot] == kMasked) continue;
      if (ids[slot] < 0 || ids[slot] >= routing.experts) {
        fail(fmt::format("wanted an expert from 0 to {}, or {} for a masked slot", routing.experts - 1, kMasked));
      }
      auto& last = last_token[static_cast<std::size_t>(ids[slot])];
      if (last == token) fail("the token names this expert twice");
      last = token;
    }
  }
}

void check(const Routing& routing) {
  check(routing, [](std::int64_t token, std::int64_t slot) {
    return fmt::format("expert_ids[token {}, slot {}]", token, slot);
  });
}

}  // namespace ep::routing
