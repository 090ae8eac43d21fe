#include "schedule/schedule.hpp"

#include <iterator>

#include "core/error.hpp"

namespace ep::schedule {

std::string_view name_of(Lane lane) {
  switch (lane) {
    case Lane::host:
      return "host";
    case Lane::compute:
      return "compute";
    case Lane::comm:
      return "comm";
  }
  return "?";
}

std::string_view name_of(Direction direction) {
  switch (direction) {
    case Direction::forward:
      return "forward";
    case Direction::backward:
      return "backward";
    case Direction::step:
      return "step";
  }
  return "?";
}

Direction parse_direction(std::string_view word, std::string_view field) {
  for (const Direction direction : {Direction::forward, Direction::backward, Direction::step}) {
    if (word == name_of(direction)) return direction;
  }
  throw core::InputError("command line", field, word, "wanted forward, backward or step");
}

std::string_view name_of(OpKind kind) {
  static constexpr std::string_view kNames[] = {
      // in the order of OpKind
      "bucket",     "counts",        "quantise",     "pack",        "dispatch",  "regroup",     "gate_up",
      "swiglu",     "down",          "ungroup",      "combine",     "reduce",    "shared",      "gate.grad",
      "pack.grad",  "dispatch.grad", "regroup.grad", "down.dx",     "down.dw",   "swiglu.grad", "gate_up.dx",
      "gate_up.dw", "ungroup.grad",  "combine.grad", "reduce.grad", "shared.dx", "shared.dw",
  };
  static_assert(std::size(kNames) == static_cast<std::size_t>(OpKind::shared_dw) + 1);
  const auto index = static_cast<std::size_t>(kind);
  return index < std::size(kNames) ? kNames[index] : "?";
}

}  // namespace ep::schedule
