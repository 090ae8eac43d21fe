#include "cuda_emulator/device/atomics.hpp"

#include <algorithm>
#include <type_traits>

#include <fmt/format.h>

#include "cuda_emulator/checker/checker.hpp"
#include "cuda_emulator/kernel/block.hpp"
#include "cuda_emulator/runtime/report.hpp"

namespace ep::emulator {
namespace {

template <class T>
T combine(AtomicOp op, T old, T value, T expected) {
  if constexpr (std::is_integral_v<T>) {
    switch (op) {
      case AtomicOp::bit_and:
        return old & value;
      case AtomicOp::bit_or:
        return old | value;
      case AtomicOp::bit_xor:
        return old ^ value;
      case AtomicOp::increment:
        return old >= value ? T{0} : static_cast<T>(old + 1);
      default:
        break;
    }
  }
  switch (op) {
    case AtomicOp::add:
      return old + value;
    case AtomicOp::minimum:
      return std::min(old, value);
    case AtomicOp::maximum:
      return std::max(old, value);
    case AtomicOp::compare_exchange:
      return old == expected ? value : old;
    default:
      return value;
  }
}

}  // namespace

template <class T>
T atomic_update(AtomicOp op, T* address, T value, T expected) {
  Checker::get().on_access(address, sizeof(T), Access::atomic);
  if (reinterpret_cast<std::uintptr_t>(address) % sizeof(T) != 0) {
    fail("misaligned",
         fmt::format("{}: atomic operation at {}", BlockRunner::get().who(), static_cast<void*>(address)));
  }
  const T old = *address;
  *address = combine(op, old, value, expected);
  return old;
}

template int atomic_update(AtomicOp, int*, int, int);
template unsigned atomic_update(AtomicOp, unsigned*, unsigned, unsigned);
template unsigned long long atomic_update(AtomicOp, unsigned long long*, unsigned long long, unsigned long long);
template float atomic_update(AtomicOp, float*, float, float);
template double atomic_update(AtomicOp, double*, double, double);

}  // namespace ep::emulator
