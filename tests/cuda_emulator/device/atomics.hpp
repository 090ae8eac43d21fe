// Atomic read-modify-write operations. Fibers switch only inside the emulator, so they need no hardware atomics.
#pragma once
#include <concepts>
#include <cstdint>
#include <type_traits>

namespace ep::emulator {

enum class AtomicOp : std::uint8_t {
  add,
  minimum,
  maximum,
  bit_and,
  bit_or,
  bit_xor,
  exchange,
  compare_exchange,
  increment
};

/// Checks the access, applies the operation and returns the old value. Defined for int, unsigned, unsigned long long,
/// float and double, outside instrumented code, which would take it for a plain access.
template <class T>
T atomic_update(AtomicOp op, T* address, T value, T expected = {});

template <class T>
concept AtomicInteger = std::same_as<T, int> || std::same_as<T, unsigned> || std::same_as<T, unsigned long long>;
template <class T>
concept AtomicNumber = AtomicInteger<T> || std::same_as<T, float> || std::same_as<T, double>;

}  // namespace ep::emulator

// The value's type must not take part in deduction: CUDA converts it.
template <ep::emulator::AtomicNumber T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return ep::emulator::atomic_update(ep::emulator::AtomicOp::add, address, value);
}
template <ep::emulator::AtomicInteger T>
T atomicSub(T* address, std::type_identity_t<T> value) {
  return ep::emulator::atomic_update(ep::emulator::AtomicOp::add, address, static_cast<T>(T{0} - value));
}
template <ep::emulator::AtomicNumber T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  return ep::emulator::atomic_update(ep::emulator::AtomicOp::exchange, address, value);
}
template <ep::emulator::AtomicInteger T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  return ep::emulator::atomic_update(ep::emulator::AtomicOp::minimum, address, value);
}
template <ep::emulator::AtomicInteger T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return ep::emulator::atomic_update(ep::emulator::AtomicOp::maximum, address, value);
}
template <ep::emulator::AtomicInteger T>
T atomicAnd(T* address, std::type_identity_t<T> value) {
  return ep::emulator::atomic_update(ep::emulator::AtomicOp::bit_and, address, value);
}
template <ep::emulator::AtomicInteger T>
T atomicOr(T* address, std::type_identity_t<T> value) {
  return ep::emulator::atomic_update(ep::emulator::AtomicOp::bit_or, address, value);
}
template <ep::emulator::AtomicInteger T>
T atomicXor(T* address, std::type_identity_t<T> value) {
  return ep::emulator::atomic_update(ep::emulator::AtomicOp::bit_xor, address, value);
}
template <ep::emulator::AtomicInteger T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return ep::emulator::atomic_update(ep::emulator::AtomicOp::compare_exchange, address, value, expected);
}
inline unsigned atomicInc(unsigned* address, unsigned limit) {
  return ep::emulator::atomic_update(ep::emulator::AtomicOp::increment, address, limit);
}
