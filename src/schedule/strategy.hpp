#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "schedule/schedule.hpp"

namespace ep::schedule {

inline constexpr int kMostChunks = 16;

/// A strategy by name: how many chunks it cuts the tokens into, and how it orders their operations.
struct Strategy {
  std::string name;  // as the user wrote it: "sequential", "chunked:4", "overlapped+defer-dw"
  int chunks = 1;
  bool defer_dw = false;  // weight gradients wait until the combine they would delay is on its way
};

/// Parses `sequential`, `overlapped`, `chunked:N` (1 to 16) or `two-batch`, each with or without `+defer-dw`. Throws
/// InputError (`--strategy`) for anything else.
Strategy parse_strategy(std::string_view word);

/// Every strategy there is, one a chunk count, with `gradients` also those that defer the weights': what `auto` chooses
/// from.
std::vector<std::string> every_strategy(bool gradients);

/// Builds and validates the strategy's schedule for a plan cut into `strategy.chunks` chunks. A backward pass comes
/// with the forward pass that it needs.
Schedule build(const Strategy& strategy, const plan::Plan& plan, const plan::LayerShape& shape,
               Direction direction = Direction::forward);

}  // namespace ep::schedule
