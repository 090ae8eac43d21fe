// Barriers and warp collectives. `where` is the source line, by which a divergent barrier is told.
#pragma once
#include <cstdint>
#include <cstring>
#include <source_location>

namespace ep::emulator {

enum class BarrierKind : std::uint8_t { plain, count, all, any };

enum class WarpOp : std::uint8_t {
  sync,
  shuffle,
  shuffle_up,
  shuffle_down,
  shuffle_xor,
  ballot,
  match_any,
  match_all,
  add,
  min_signed,
  max_signed,
  min_unsigned,
  max_unsigned,
  bit_and,
  bit_or,
  bit_xor
};

/// Waits for every thread of the block that has not exited; returns the reduction of `predicate`.
int block_barrier(BarrierKind kind, int predicate, std::source_location where);
/// Waits for every live lane of `mask`, all in the same operation, and returns this lane's result.
std::uint64_t warp_collective(WarpOp op, unsigned mask, std::uint64_t value, int parameter, int width,
                              std::source_location where);
/// Lets another thread of the block run.
void yield_thread();

template <class T>
std::uint64_t to_bits(const T& value) {
  static_assert(sizeof(T) <= sizeof(std::uint64_t));
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}

template <class T>
T from_bits(std::uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

template <class T>
T shuffle(WarpOp op, unsigned mask, T value, int parameter, int width, std::source_location where) {
  return from_bits<T>(warp_collective(op, mask, to_bits(value), parameter, width, where));
}

}  // namespace ep::emulator

inline void __syncthreads(std::source_location where = std::source_location::current()) {
  ep::emulator::block_barrier(ep::emulator::BarrierKind::plain, 0, where);
}
inline int __syncthreads_count(int predicate, std::source_location where = std::source_location::current()) {
  return ep::emulator::block_barrier(ep::emulator::BarrierKind::count, predicate, where);
}
inline int __syncthreads_and(int predicate, std::source_location where = std::source_location::current()) {
  return ep::emulator::block_barrier(ep::emulator::BarrierKind::all, predicate, where);
}
inline int __syncthreads_or(int predicate, std::source_location where = std::source_location::current()) {
  return ep::emulator::block_barrier(ep::emulator::BarrierKind::any, predicate, where);
}
inline void __syncwarp(unsigned mask = ~0u, std::source_location where = std::source_location::current()) {
  ep::emulator::warp_collective(ep::emulator::WarpOp::sync, mask, 0, 0, 32, where);
}

// Fences order nothing that this emulator could reorder; another thread may run here.
inline void __threadfence() {
  ep::emulator::yield_thread();
}
inline void __threadfence_block() {
  ep::emulator::yield_thread();
}
inline void __threadfence_system() {
  ep::emulator::yield_thread();
}
inline void __nanosleep(unsigned) {
  ep::emulator::yield_thread();
}

template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32,
              std::source_location where = std::source_location::current()) {
  return ep::emulator::shuffle(ep::emulator::WarpOp::shuffle, mask, value, lane, width, where);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 std::source_location where = std::source_location::current()) {
  return ep::emulator::shuffle(ep::emulator::WarpOp::shuffle_up, mask, value, static_cast<int>(delta), width, where);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   std::source_location where = std::source_location::current()) {
  return ep::emulator::shuffle(ep::emulator::WarpOp::shuffle_down, mask, value, static_cast<int>(delta), width, where);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,
                  std::source_location where = std::source_location::current()) {
  return ep::emulator::shuffle(ep::emulator::WarpOp::shuffle_xor, mask, value, lane_mask, width, where);
}

inline unsigned __ballot_sync(unsigned mask, int predicate,
                              std::source_location where = std::source_location::current()) {
  const std::uint64_t vote = predicate != 0 ? 1 : 0;
  return static_cast<unsigned>(ep::emulator::warp_collective(ep::emulator::WarpOp::ballot, mask, vote, 0, 32, where));
}
inline int __any_sync(unsigned mask, int predicate, std::source_location where = std::source_location::current()) {
  return __ballot_sync(mask, predicate, where) != 0 ? 1 : 0;
}
inline int __all_sync(unsigned mask, int predicate, std::source_location where = std::source_location::current()) {
  return __ballot_sync(mask, predicate == 0 ? 1 : 0, where) == 0 ? 1 : 0;
}
template <class T>
unsigned __match_any_sync(unsigned mask, T value, std::source_location where = std::source_location::current()) {
  return static_cast<unsigned>(
      ep::emulator::warp_collective(ep::emulator::WarpOp::match_any, mask, ep::emulator::to_bits(value), 0, 32, where));
}
template <class T>
unsigned __match_all_sync(unsigned mask, T value, int* predicate,
                          std::source_location where = std::source_location::current()) {
  const auto lanes = static_cast<unsigned>(
      ep::emulator::warp_collective(ep::emulator::WarpOp::match_all, mask, ep::emulator::to_bits(value), 0, 32, where));
  *predicate = lanes != 0 ? 1 : 0;
  return lanes;
}

inline unsigned __reduce_add_sync(unsigned mask, unsigned value,
                                  std::source_location where = std::source_location::current()) {
  return static_cast<unsigned>(ep::emulator::warp_collective(ep::emulator::WarpOp::add, mask, value, 0, 32, where));
}
inline int __reduce_add_sync(unsigned mask, int value, std::source_location where = std::source_location::current()) {
  return static_cast<int>(__reduce_add_sync(mask, static_cast<unsigned>(value), where));
}
inline unsigned __reduce_min_sync(unsigned mask, unsigned value,
                                  std::source_location where = std::source_location::current()) {
  using ep::emulator::WarpOp;
  return static_cast<unsigned>(ep::emulator::warp_collective(WarpOp::min_unsigned, mask, value, 0, 32, where));
}
inline int __reduce_min_sync(unsigned mask, int value, std::source_location where = std::source_location::current()) {
  using ep::emulator::WarpOp;
  return static_cast<int>(
      ep::emulator::warp_collective(WarpOp::min_signed, mask, static_cast<unsigned>(value), 0, 32, where));
}
inline unsigned __reduce_max_sync(unsigned mask, unsigned value,
                                  std::source_location where = std::source_location::current()) {
  using ep::emulator::WarpOp;
  return static_cast<unsigned>(ep::emulator::warp_collective(WarpOp::max_unsigned, mask, value, 0, 32, where));
}
inline int __reduce_max_sync(unsigned mask, int value, std::source_location where = std::source_location::current()) {
  using ep::emulator::WarpOp;
  return static_cast<int>(
      ep::emulator::warp_collective(WarpOp::max_signed, mask, static_cast<unsigned>(value), 0, 32, where));
}
inline unsigned __reduce_and_sync(unsigned mask, unsigned value,
                                  std::source_location where = std::source_location::current()) {
  return static_cast<unsigned>(ep::emulator::warp_collective(ep::emulator::WarpOp::bit_and, mask, value, 0, 32, where));
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value,
                                 std::source_location where = std::source_location::current()) {
  return static_cast<unsigned>(ep::emulator::warp_collective(ep::emulator::WarpOp::bit_or, mask, value, 0, 32, where));
}
inline unsigned __reduce_xor_sync(unsigned mask, unsigned value,
                                  std::source_location where = std::source_location::current()) {
  return static_cast<unsigned>(ep::emulator::warp_collective(ep::emulator::WarpOp::bit_xor, mask, value, 0, 32, where));
}
