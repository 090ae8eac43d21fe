#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "schedule/schedule.hpp"

namespace ep::schedule {

/// A strategy by name: how many chunks it cuts the tokens into, and how it orders their operations.
struct Strategy {
  std::string name;  // "sequential", "overlapped"
  int chunks = 1;
};

/// Parses `sequential` or `overlapped`. Throws InputError (`--strategy`) for anything else.
Strategy parse_strategy(std::string_view word);

/// Builds and validates the strategy's schedule for a plan cut into `strategy.chunks` chunks.
Schedule build(const Strategy& strategy, const plan::Plan& plan, const plan::LayerShape& shape);

}  // namespace ep::schedule
