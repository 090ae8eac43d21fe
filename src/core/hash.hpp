#pragma once
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace ep::core {

/// FNV-1a, 64 bit, over little-endian bytes: a stable fingerprint, the same on every machine (not cryptographic).
class Fnv1a {
 public:
  template <class Integer>
  constexpr void add(Integer value) {
    // Through the unsigned type: whether a char has a sign differs between machines.
    std::uint64_t word = static_cast<std::make_unsigned_t<Integer>>(value);
    for (std::size_t i = 0; i < sizeof(Integer); ++i, word >>= 8) {
      hash_ = (hash_ ^ (word & 0xffU)) * 0x100000001b3ULL;
    }
  }
  [[nodiscard]] constexpr std::uint64_t value() const { return hash_; }

 private:
  std::uint64_t hash_ = 0xcbf29ce484222325ULL;
};

}  // namespace ep::core
