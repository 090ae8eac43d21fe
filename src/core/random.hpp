#pragma once
#include <cstdint>

namespace ep::core {

/// SplitMix64's finaliser: a bijection of 64-bit words whose outputs pass BigCrush when fed a counter
/// (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
constexpr std::uint64_t mix64(std::uint64_t word) {
  word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9ULL;
  word = (word ^ (word >> 27)) * 0x94d049bb133111ebULL;
  return word ^ (word >> 31);
}

/// Random numbers as a pure function of (seed, stream, position): no state to carry between ranks or threads, so
/// that any rank can make any token's numbers. Integer arithmetic and exact conversions only: the same everywhere.
class Random {
 public:
  constexpr Random(std::uint64_t seed, std::uint64_t stream)
      : state_(mix64(mix64(seed + kGolden) ^ mix64(stream * kGolden + 1))) {}

  constexpr std::uint64_t next() { return mix64(state_ += kGolden); }

  /// Uniform in the open interval (0, 1), 52 bits: never 0, so a logarithm of it is finite.
  constexpr double uniform() { return (static_cast<double>(next() >> 12) + 0.5) * 0x1p-52; }

  /// Uniform in [0, n), n > 0, by multiply-shift; the bias is below n / 2^64.
  constexpr std::uint64_t below(std::uint64_t n) {
    return static_cast<std::uint64_t>((static_cast<Wide>(next()) * n) >> 64);
  }

 private:
  __extension__ using Wide = unsigned __int128;
  static constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15ULL;
  std::uint64_t state_;
};

}  // namespace ep::core
