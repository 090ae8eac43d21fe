// Barriers of a block and collectives of a warp.
#include <algorithm>
#include <bit>
#include <cstring>

#include <fmt/format.h>

#include "cuda_emulator/kernel/block.hpp"
#include "cuda_emulator/runtime/report.hpp"

namespace ep::emulator {
namespace {

std::string at(const std::source_location& where) {
  return fmt::format("{}:{}", where.file_name(), where.line());
}

bool same_place(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

/// Calls `visit` with each lane of a mask.
template <class Visit>
void for_lanes(unsigned mask, Visit visit) {
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) visit(std::countr_zero(rest));
}

std::uint64_t reduce(WarpOp op, std::uint64_t a, std::uint64_t b) {
  const auto signed_less = [](std::uint64_t x, std::uint64_t y) {
    return static_cast<std::int32_t>(x) < static_cast<std::int32_t>(y);
  };
  switch (op) {
    case WarpOp::add:
      return static_cast<std::uint32_t>(a + b);
    case WarpOp::min_signed:
      return signed_less(b, a) ? b : a;
    case WarpOp::max_signed:
      return signed_less(a, b) ? b : a;
    case WarpOp::min_unsigned:
      return std::min(a, b);
    case WarpOp::max_unsigned:
      return std::max(a, b);
    case WarpOp::bit_and:
      return a & b;
    case WarpOp::bit_or:
      return a | b;
    case WarpOp::bit_xor:
      return a ^ b;
    default:
      return a;
  }
}

}  // namespace

int BlockRunner::barrier(BarrierKind kind, int predicate, std::source_location where) {
  if (!in_kernel()) fail("usage", "__syncthreads outside a kernel");
  in_runtime_ = true;
  Lane& lane = lanes_[static_cast<std::size_t>(current_)];
  lane.where = where;
  if (barrier_.arrived == 0) {
    barrier_ = {0, kind, kind == BarrierKind::all ? 1 : 0, barrier_.result, where};
  } else if (barrier_.kind != kind || !same_place(barrier_.where, where)) {
    fail("divergent-barrier", fmt::format("{} is at {} while others are at {}", who(), at(where), at(barrier_.where)));
  }
  const int vote = predicate != 0 ? 1 : 0;
  if (kind == BarrierKind::count) barrier_.value += vote;
  if (kind == BarrierKind::all) barrier_.value &= vote;
  if (kind == BarrierKind::any) barrier_.value |= vote;
  lane.state = State::at_barrier;
  if (++barrier_.arrived == live_) release_barrier();
  suspend();
  return barrier_.result;
}

void BlockRunner::release_barrier() {
  barrier_.result = barrier_.value;
  barrier_.arrived = 0;
  ++barrier_epoch_;
  for (int thread = 0; thread < threads_; ++thread) {
    if (lanes_[static_cast<std::size_t>(thread)].state == State::at_barrier) make_ready(thread);
  }
}

std::uint64_t BlockRunner::collective(WarpOp op, unsigned mask, std::uint64_t value, int parameter, int width,
                                      std::source_location where) {
  if (!in_kernel()) fail("usage", "a warp collective outside a kernel");
  in_runtime_ = true;
  const int index = current_ % kWarpThreads;
  if ((mask >> index & 1) == 0)
    fail("warp-mask", fmt::format("{} is not in its own mask {:08x} at {}", who(), mask, at(where)));
  Lane& lane = lanes_[static_cast<std::size_t>(current_)];
  lane.op = op;
  lane.mask = mask;
  lane.in = value;
  lane.parameter = parameter;
  lane.width = width;
  lane.where = where;
  lane.state = State::in_collective;
  const int warp = current_ / kWarpThreads;
  warps_[static_cast<std::size_t>(warp)].waiting |= 1u << index;
  try_collective(warp, mask);
  suspend();
  return lane.out;
}

bool BlockRunner::try_collective(int warp, unsigned mask) {
  Warp& state = warps_[static_cast<std::size_t>(warp)];
  const Lane* lanes = &lanes_[static_cast<std::size_t>(warp * kWarpThreads)];
  const unsigned expected = mask & state.live;
  if (expected == 0 || (state.waiting & expected) != expected) return false;
  const WarpOp op = lanes[std::countr_zero(expected)].op;
  bool agreed = true;
  for_lanes(expected, [&](int lane) { agreed = agreed && lanes[lane].mask == mask && lanes[lane].op == op; });
  if (!agreed) return false;
  state.waiting &= ~expected;
  complete_collective(warp, expected);
  return true;
}

void BlockRunner::release_warp(int warp) {
  const Warp& state = warps_[static_cast<std::size_t>(warp)];
  for_lanes(state.waiting, [&](int lane) {
    const bool still_waits = (state.waiting >> lane & 1) != 0;
    if (still_waits) try_collective(warp, lanes_[static_cast<std::size_t>(warp * kWarpThreads + lane)].mask);
  });
}

std::uint64_t BlockRunner::combine(const Lane* lanes, unsigned mask, WarpOp op) const {
  const std::uint64_t first = lanes[std::countr_zero(mask)].in;
  std::uint64_t result = op == WarpOp::ballot ? 0 : first;
  bool all_same = true;
  for_lanes(mask, [&](int lane) {
    const std::uint64_t value = lanes[lane].in;
    all_same = all_same && value == first;
    if (op == WarpOp::ballot) result |= (value & 1) << lane;
    if (lane != std::countr_zero(mask)) result = reduce(op, result, value);
  });
  if (op == WarpOp::match_all) return all_same ? mask : 0;
  return result;
}

std::uint64_t BlockRunner::shuffled(const Lane* lanes, unsigned mask, int lane) {
  const Lane& self = lanes[lane];
  const int first = lane & ~(self.width - 1);
  int source = lane;
  switch (self.op) {
    case WarpOp::shuffle:
      source = first + (self.parameter & (self.width - 1));
      break;
    case WarpOp::shuffle_up:
      source = lane - self.parameter < first ? lane : lane - self.parameter;
      break;
    case WarpOp::shuffle_down:
      source = lane + self.parameter >= first + self.width ? lane : lane + self.parameter;
      break;
    default:
      source = (lane ^ self.parameter) >= first + self.width ? lane : lane ^ self.parameter;
  }
  const bool takes_part = (mask >> source & 1) != 0;
  // The hardware leaves the value of an absent lane undefined.
  return takes_part ? lanes[source].in : random_.next() | 0xdead0000u;
}

void BlockRunner::complete_collective(int warp, unsigned mask) {
  Lane* lanes = &lanes_[static_cast<std::size_t>(warp * kWarpThreads)];
  const WarpOp op = lanes[std::countr_zero(mask)].op;
  const std::uint64_t combined = combine(lanes, mask, op);
  const std::uint32_t epoch = warps_[static_cast<std::size_t>(warp)].syncs + 1;
  for_lanes(mask, [&](int lane) {
    Lane& self = lanes[lane];
    switch (op) {
      case WarpOp::sync:
        self.warp_epoch = epoch;
        break;  // shuffles do not order memory, so they count no epoch
      case WarpOp::shuffle:
      case WarpOp::shuffle_up:
      case WarpOp::shuffle_down:
      case WarpOp::shuffle_xor:
        self.out = shuffled(lanes, mask, lane);
        break;
      case WarpOp::match_any: {
        unsigned same = 0;
        for_lanes(mask, [&](int other) { same |= lanes[other].in == self.in ? 1u << other : 0u; });
        self.out = same;
        break;
      }
      default:
        self.out = combined;
    }
  });
  if (op == WarpOp::sync) warps_[static_cast<std::size_t>(warp)].syncs = epoch;
  for_lanes(mask, [&](int lane) { make_ready(warp * kWarpThreads + lane); });
}

void BlockRunner::fail_deadlock() const {
  constexpr int kShown = 8;
  std::string waiting;
  const Lane* previous = nullptr;
  for (int thread = 0, shown = 0; thread < threads_ && shown < kShown; ++thread) {
    const Lane& lane = lanes_[static_cast<std::size_t>(thread)];
    const bool waits = lane.state == State::at_barrier || lane.state == State::in_collective;
    const bool told = previous != nullptr && previous->state == lane.state && same_place(previous->where, lane.where);
    if (!waits || told) continue;
    previous = &lane;
    ++shown;
    waiting += fmt::format("\n    thread {} waits in {} at {}", thread,
                           lane.state == State::at_barrier ? "__syncthreads" : "a warp collective", at(lane.where));
  }
  fail("block-deadlock", fmt::format("kernel {} block {}: {} of {} threads have exited, no other can run{}", kernel_,
                                     block(), threads_ - live_, threads_, waiting));
}

int block_barrier(BarrierKind kind, int predicate, std::source_location where) {
  return BlockRunner::get().barrier(kind, predicate, where);
}

std::uint64_t warp_collective(WarpOp op, unsigned mask, std::uint64_t value, int parameter, int width,
                              std::source_location where) {
  return BlockRunner::get().collective(op, mask, value, parameter, width, where);
}

void yield_thread() {
  BlockRunner::get().yield();
}

void* dynamic_shared_memory() {
  return BlockRunner::get().dynamic_shared();
}

}  // namespace ep::emulator
