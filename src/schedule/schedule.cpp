#include "schedule/schedule.hpp"

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
  }
  return "?";
}

}  // namespace ep::schedule
