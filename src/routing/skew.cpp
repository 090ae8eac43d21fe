#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "core/error.hpp"
#include "routing/portable_math.hpp"
#include "routing/routing.hpp"

namespace ep::routing {

namespace {

/// Largest entry over the mean of all.
double hottest_over_mean(std::span<const std::int64_t> loads, std::int64_t total) {
  const auto hottest = static_cast<double>(*std::max_element(loads.begin(), loads.end()));
  return hottest * static_cast<double>(loads.size()) / static_cast<double>(total);
}

/// Shannon entropy of the load distribution over that of an even one; a single expert is even.
double relative_entropy(std::span<const std::int64_t> loads, std::int64_t total) {
  if (loads.size() == 1) return 1.0;
  double entropy = 0.0;
  for (const std::int64_t load : loads) {
    if (load == 0) continue;
    const double share = static_cast<double>(load) / static_cast<double>(total);
    entropy -= share * natural_log(share);
  }
  return entropy / natural_log(static_cast<double>(loads.size()));
}

void check_placement(const Routing& routing, std::span<const std::int32_t> expert_rank, int ranks) {
  if (expert_rank.size() != static_cast<std::size_t>(routing.experts)) {
    throw core::InputError("skew", "expert_rank", fmt::format("{} entries", expert_rank.size()),
                           fmt::format("wanted one for each of {} experts", routing.experts));
  }
  for (const std::int32_t rank : expert_rank) {
    if (rank < 0 || rank >= ranks) {
      throw core::InputError("skew", "expert_rank", std::to_string(rank), fmt::format("wanted 0 to {}", ranks - 1));
    }
  }
}

}  // namespace

std::int64_t Routing::valid_copies() const {
  return static_cast<std::int64_t>(expert_ids.size()) - std::count(expert_ids.begin(), expert_ids.end(), kMasked);
}

Skew skew_of(const Routing& routing, std::span<const std::int32_t> expert_rank, int ranks) {
  check_placement(routing, expert_rank, ranks);
  std::vector<std::int64_t> expert_load(static_cast<std::size_t>(routing.experts));
  std::vector<std::int64_t> rank_load(static_cast<std::size_t>(ranks));
  std::vector<std::int64_t> last_token(static_cast<std::size_t>(ranks), -1);
  std::int64_t pairs = 0;  // distinct (token, rank)
  for (std::int64_t token = 0; token < routing.tokens; ++token) {
    for (const std::int32_t id : routing.experts_of(token)) {
      if (id == kMasked) continue;
      const auto expert = static_cast<std::size_t>(id);
      const auto rank = static_cast<std::size_t>(expert_rank[expert]);
      ++expert_load[expert];
      ++rank_load[rank];
      if (last_token[rank] != token) ++pairs;
      last_token[rank] = token;
    }
  }
  const auto total = std::accumulate(expert_load.begin(), expert_load.end(), std::int64_t{0});
  if (total == 0) return {};
  return {.hottest_expert_over_mean = hottest_over_mean(expert_load, total),
          .hottest_rank_over_mean = hottest_over_mean(rank_load, total),
          .entropy_over_log2_experts = relative_entropy(expert_load, total),
          .distinct_ranks_per_token = static_cast<double>(pairs) / static_cast<double>(routing.tokens)};
}

}  // namespace ep::routing
