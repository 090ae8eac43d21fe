// The functions that -fsanitize=thread makes the compiler call. libtsan, which has its own, is not linked.
// Macros, because the compiler fixes the names: one family of functions for each size.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cuda_emulator/checker/checker.hpp"

namespace {

using ep::emulator::Access;
using ep::emulator::Checker;

void check_bytes(const void* address, std::size_t bytes, Access kind) {
  const auto* first = static_cast<const char*>(address);
  for (std::size_t i = 0; i < bytes; ++i) Checker::get().on_access(first + i, 1, kind);
}

}  // namespace

extern "C" {

// Called by a constructor of every instrumented object file.
void __tsan_init() {
  Checker::get().enable();
}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_read_range(void* address, std::size_t bytes) {
  check_bytes(address, bytes, Access::read);
}
void __tsan_write_range(void* address, std::size_t bytes) {
  check_bytes(address, bytes, Access::write);
}

// What prelude.hpp has instrumented sources call for memcpy and its like.
void* ep_emulator_memcpy(void* to, const void* from, std::size_t bytes) {
  check_bytes(from, bytes, Access::read);
  check_bytes(to, bytes, Access::write);
  return std::memcpy(to, from, bytes);
}
void* ep_emulator_memmove(void* to, const void* from, std::size_t bytes) {
  check_bytes(from, bytes, Access::read);
  check_bytes(to, bytes, Access::write);
  return std::memmove(to, from, bytes);
}
void* ep_emulator_memset(void* to, int value, std::size_t bytes) {
  check_bytes(to, bytes, Access::write);
  return std::memset(to, value, bytes);
}

#define EP_PLAIN_ACCESS(bytes)                               \
  void __tsan_read##bytes(void* address) {                   \
    Checker::get().on_access(address, bytes, Access::read);  \
  }                                                          \
  void __tsan_write##bytes(void* address) {                  \
    Checker::get().on_access(address, bytes, Access::write); \
  }                                                          \
  void __tsan_unaligned_read##bytes(void* address) {         \
    Checker::get().on_access(address, bytes, Access::read);  \
  }                                                          \
  void __tsan_unaligned_write##bytes(void* address) {        \
    Checker::get().on_access(address, bytes, Access::write); \
  }                                                          \
  void __tsan_volatile_read##bytes(void* address) {          \
    Checker::get().on_access(address, bytes, Access::read);  \
  }                                                          \
  void __tsan_volatile_write##bytes(void* address) {         \
    Checker::get().on_access(address, bytes, Access::write); \
  }
EP_PLAIN_ACCESS(1)
EP_PLAIN_ACCESS(2)
EP_PLAIN_ACCESS(4)
EP_PLAIN_ACCESS(8)
EP_PLAIN_ACCESS(16)
#undef EP_PLAIN_ACCESS

// std::atomic of host code: real atomics, always sequentially consistent. In emulated memory only stores are
// understood: a stream may wait for one.
#define EP_FETCH(bits, T, name, builtin)                         \
  T __tsan_atomic##bits##_##name(volatile T* at, T value, int) { \
    return builtin(at, value, __ATOMIC_SEQ_CST);                 \
  }
#define EP_COMPARE_EXCHANGE(bits, T, kind, weak)                                                               \
  int __tsan_atomic##bits##_compare_exchange_##kind(volatile T* at, T* expected, T value, int, int) {          \
    return __atomic_compare_exchange_n(at, expected, value, weak, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ? 1 : 0; \
  }
#define EP_ATOMIC(bits, T)                                                                        \
  T __tsan_atomic##bits##_load(const volatile T* at, int) {                                       \
    return __atomic_load_n(at, __ATOMIC_SEQ_CST);                                                 \
  }                                                                                               \
  void __tsan_atomic##bits##_store(volatile T* at, T value, int) {                                \
    Checker::get().on_release(const_cast<const T*>(at), sizeof(T));                               \
    __atomic_store_n(at, value, __ATOMIC_SEQ_CST);                                                \
  }                                                                                               \
  EP_FETCH(bits, T, exchange, __atomic_exchange_n)                                                \
  EP_FETCH(bits, T, fetch_add, __atomic_fetch_add)                                                \
  EP_FETCH(bits, T, fetch_sub, __atomic_fetch_sub)                                                \
  EP_FETCH(bits, T, fetch_and, __atomic_fetch_and)                                                \
  EP_FETCH(bits, T, fetch_or, __atomic_fetch_or)                                                  \
  EP_FETCH(bits, T, fetch_xor, __atomic_fetch_xor)                                                \
  EP_COMPARE_EXCHANGE(bits, T, strong, false)                                                     \
  EP_COMPARE_EXCHANGE(bits, T, weak, true)                                                        \
  T __tsan_atomic##bits##_compare_exchange_val(volatile T* at, T expected, T value, int, int) {   \
    __atomic_compare_exchange_n(at, &expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
    return expected;                                                                              \
  }
EP_ATOMIC(8, std::uint8_t)
EP_ATOMIC(16, std::uint16_t)
EP_ATOMIC(32, std::uint32_t)
EP_ATOMIC(64, std::uint64_t)
#undef EP_ATOMIC
#undef EP_COMPARE_EXCHANGE
#undef EP_FETCH

void __tsan_atomic_thread_fence(int) {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
void __tsan_atomic_signal_fence(int) {
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

}  // extern "C"
