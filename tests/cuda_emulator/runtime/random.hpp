#pragma once
#include <cstdint>

namespace ep::emulator {

/// SplitMix64 (Steele, Lea, Flood 2014): small, and any seed is a good one. Every decision of the emulator that may
/// vary comes from one of these, seeded by EP_EMU_SEED, the rank and what the decision is about.
class Random {
 public:
  explicit constexpr Random(std::uint64_t seed) : state_(seed) {}

  constexpr std::uint64_t next() {
    state_ += 0x9E3779B97F4A7C15u;
    std::uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBu;
    return mixed ^ (mixed >> 31);
  }

  /// Uniform in [0, bound). @pre bound > 0
  constexpr std::uint32_t below(std::uint32_t bound) { return static_cast<std::uint32_t>((next() >> 32) % bound); }
  constexpr bool one_in(std::uint32_t count) { return below(count) == 0; }

 private:
  std::uint64_t state_;
};

/// A generator of its own for thing number `index` of a kind (`salt`), the same in every run with this seed.
Random seeded_random(std::uint64_t salt, std::uint64_t index);

}  // namespace ep::emulator
