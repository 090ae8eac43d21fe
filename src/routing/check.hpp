#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "routing/limits.hpp"
#include "routing/routing.hpp"

namespace ep::routing {

/// How messages name a slot: a file's reader knows better than the routing where it stood.
using SlotName = std::function<std::string(std::int64_t token, std::int64_t slot)>;

/// `check` with messages that say `slot_name(token, slot)`.
void check(const Routing& routing, const SlotName& slot_name);

}  // namespace ep::routing
