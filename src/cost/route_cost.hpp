#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "routing/routing.hpp"

namespace ep::cost {

/// The closed form: every copy whose expert lives elsewhere pays for one payload on one link, and nothing overlaps,
/// contends or waits. The baseline that exchange_cost is measured against.
struct RouteCost {
  std::int64_t local_tokens = 0;   // (token, k) pairs whose expert is on the token's own device
  std::int64_t remote_tokens = 0;  // the other pairs
  std::int64_t total_remote_bytes = 0;
  double comm_time_ms = 0;  // rounded to 4 decimals
};

/// Experts of each token, any number of them: token t has experts[first[t]] to experts[first[t + 1] - 1].
struct TokenAssignments {
  std::vector<std::int64_t> first{0};  // [tokens + 1]
  std::vector<std::int32_t> experts;   // [first.back()], positions in expert_to_gpu; a repeated one counts each time

  [[nodiscard]] std::int64_t tokens() const { return static_cast<std::int64_t>(first.size()) - 1; }
};

/// What the formula takes, as `epbench cost` reads it.
struct RouteCostInput {
  TokenAssignments token_assignments;
  std::vector<std::int64_t> expert_to_gpu;  // [experts]
  std::vector<std::int64_t> token_to_gpu;   // [tokens]
  std::int64_t token_hidden_bytes = 0;
  double bandwidth_gbps = 0;  // of the one link, in 1e9 bits per second
};

/// total_remote_bytes = remote_tokens * token_hidden_bytes;
/// comm_time_ms = total_remote_bytes / (bandwidth_gbps * 1e9 / 8) * 1000, rounded to 4 decimals.
/// Throws InputError (from `source`) for lengths that disagree, an expert out of range, a bandwidth that is not above 0
/// and bytes beyond 63 bits.
RouteCost route_cost(const RouteCostInput& input, std::string_view source = "route_cost");

/// The same for a layer: token t is on its rank (routing::rank_of_token), expert e on expert_rank[e]; masked slots
/// count nowhere. Throws InputError likewise.
RouteCost route_cost(const routing::Routing& routing, std::span<const std::int32_t> expert_rank, int ranks,
                     std::int64_t token_hidden_bytes, double bandwidth_gbps);

/// Reads {"token_assignments": [[…], …], "expert_to_gpu": {"0": 0, …} or […], "token_to_gpu": […],
/// "token_hidden_bytes": N, "bandwidth_gbps": X}. Expert numbers of the object may be any whole numbers; they become
/// positions. Throws InputError naming `source`, field and value for anything missing, unknown, twice or mistyped.
RouteCostInput parse_route_cost(const std::string& text, std::string_view source);

/// One line of JSON, numbers written as Python's json module writes them.
std::string to_json(const RouteCost& cost);

/// Rounds to 4 decimals as Python's round(value, 4): the decimal nearest to the exact binary value, ties to even.
double round4(double value);

/// The shortest decimal that reads back as `value`, in Python's repr notation: 0.0, 12.5, 1e+16. @pre finite
std::string python_repr(double value);

}  // namespace ep::cost
