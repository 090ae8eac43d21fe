#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "core/random.hpp"
#include "routing/routing.hpp"

namespace ep::routing {

constexpr std::string_view kRoutingOption = "--routing";

/// What random numbers are for: no two uses share a stream.
enum class Purpose : std::uint64_t { popularity, hot_experts, token, gate_weights };

inline core::Random random_for(std::uint64_t seed, Purpose purpose, std::int64_t index = 0) {
  return {seed, (static_cast<std::uint64_t>(purpose) << 56) | static_cast<std::uint64_t>(index)};
}

/// Gives every valid slot of a token its weight: positive, strictly falling from slot to slot, summing to 1 over the
/// token; a pure function of (seed, token, number of valid slots). Masked slots weigh 0.
void fill_gate_weights(Routing& routing, std::uint64_t seed);

/// A number of a spec in [low, high]. Throws InputError naming `field`.
double parse_within(std::string_view word, std::string_view field, double low, double high);

// Each generator fills expert_ids [tokens, topk]; `shape` has passed check_sizes.

/// `topk` experts drawn uniformly without replacement for every token.
std::vector<std::int32_t> uniform(const RoutingShape& shape);

/// `fraction` of all copies go to shape.hot_experts, evenly; the rest goes evenly to the others. The share of a single
/// token is rounded up or down at random so that the mean is exact. Throws InputError when distinct experts cannot give
/// it.
std::vector<std::int32_t> hot_fraction(const RoutingShape& shape, std::string_view fraction);

/// Expert (17 * token + 31 * slot + seed) mod experts, the rule of published benchmarks; a repeat within the token
/// takes the next expert that is free.
std::vector<std::int32_t> stride(const RoutingShape& shape);

/// Parameters of `race`.
struct RaceParameters {
  std::vector<double> popularity;         // [experts], positive; of the hot experts it is not used
  std::vector<std::int32_t> hot_experts;  // these are chosen apart from the race, each with hot_probability
  double hot_probability = 0;             // share of tokens a hot expert is in
  double sticky = 0;                      // probability that an expert's noise is kept from the token before
};

/// Experts ranked in an order drawn from the seed, popularity rank^-exponent.
RaceParameters zipf(const RoutingShape& shape, std::string_view exponent);

/// `arguments` is "SIGMA[,hot=COUNT*FACTOR][,sticky=P]": popularity e^(sigma * N(0, 1)). See lognormal.cpp for which
/// values look like real routers.
RaceParameters lognormal(const RoutingShape& shape, std::string_view arguments);

/// [experts] Copies of one token that each expert receives under hot_fraction, on average.
std::vector<double> expected_hot_fraction(const RoutingShape& shape, std::string_view fraction);

/// The error for a spec that names no generator.
core::InputError unknown_spec(std::string_view spec);

/// Distinct members of a set in random order, any number at a time.
class Pool {
 public:
  explicit Pool(std::vector<std::int32_t> members) : members_(std::move(members)) {}
  /// All experts from 0 to count - 1.
  explicit Pool(int count);

  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(members_.size()); }
  /// Fills `drawn` with distinct members, every choice and order as likely as any other. @pre drawn.size() <= size()
  void draw(core::Random& random, std::span<std::int32_t> drawn);

 private:
  std::vector<std::int32_t> members_;
};

/// Draws topk distinct experts for every token, most probable first. Each expert e arrives after an exponential time
/// with rate popularity[e], and the first topk win. -ln of that time is ln popularity + Gumbel noise, so this is Gumbel
/// top-k with one logarithm a copy instead of two (Efraimidis and Spirakis, "Weighted random sampling with a
/// reservoir", 2006).
std::vector<std::int32_t> race(const RoutingShape& shape, const RaceParameters& parameters);

}  // namespace ep::routing
