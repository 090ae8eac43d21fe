#include "schedule/schedule.hpp"

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
  switch (kind) {
    case OpKind::bucket:
      return "bucket";
    case OpKind::exchange_counts:
      return "counts";
    case OpKind::pack:
      return "pack";
    case OpKind::dispatch:
      return "dispatch";
    case OpKind::regroup:
      return "regroup";
    case OpKind::gate_up:
      return "gate_up";
    case OpKind::swiglu:
      return "swiglu";
    case OpKind::down:
      return "down";
    case OpKind::ungroup:
      return "ungroup";
    case OpKind::combine:
      return "combine";
    case OpKind::reduce:
      return "reduce";
    case OpKind::shared:
      return "shared";
    case OpKind::gate_grad:
      return "gate.grad";
    case OpKind::pack_grad:
      return "pack.grad";
    case OpKind::dispatch_grad:
      return "dispatch.grad";
    case OpKind::regroup_grad:
      return "regroup.grad";
    case OpKind::down_dx:
      return "down.dx";
    case OpKind::down_dw:
      return "down.dw";
    case OpKind::swiglu_grad:
      return "swiglu.grad";
    case OpKind::gate_up_dx:
      return "gate_up.dx";
    case OpKind::gate_up_dw:
      return "gate_up.dw";
    case OpKind::ungroup_grad:
      return "ungroup.grad";
    case OpKind::combine_grad:
      return "combine.grad";
    case OpKind::reduce_grad:
      return "reduce.grad";
    case OpKind::shared_dx:
      return "shared.dx";
    case OpKind::shared_dw:
      return "shared.dw";
  }
  return "?";
}

}  // namespace ep::schedule
