#include "cost/route_cost.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "core/error.hpp"

namespace ep::cost {

namespace {

using core::InputError;

RouteCost price(std::int64_t local, std::int64_t remote, std::int64_t token_hidden_bytes, double bandwidth_gbps,
                std::string_view source) {
  RouteCost cost{local, remote};
  if (token_hidden_bytes < 0) {
    throw InputError(source, "token_hidden_bytes", std::to_string(token_hidden_bytes), "wanted 0 or more");
  }
  if (!(bandwidth_gbps > 0) || !std::isfinite(bandwidth_gbps)) {
    throw InputError(source, "bandwidth_gbps", fmt::to_string(bandwidth_gbps), "wanted a finite number above 0");
  }
  if (__builtin_mul_overflow(remote, token_hidden_bytes, &cost.total_remote_bytes)) {
    throw InputError(source, "token_hidden_bytes", std::to_string(token_hidden_bytes),
                     fmt::format("{} remote copies of it do not fit in 63 bits", remote));
  }
  // In this order, as the formula is written: another one rounds differently.
  const double bytes_per_second = bandwidth_gbps * 1e9 / 8;
  const double time_ms = static_cast<double>(cost.total_remote_bytes) / bytes_per_second * 1000;
  if (!std::isfinite(time_ms)) {
    throw InputError(source, "bandwidth_gbps", fmt::to_string(bandwidth_gbps), "so low that the time is no number");
  }
  cost.comm_time_ms = round4(time_ms);
  return cost;
}

/// Position of the first id outside [lowest, count), or ids.size(). One branch-free pass when all are inside.
std::size_t find_out_of_range(std::span<const std::int32_t> ids, std::int32_t lowest, std::size_t count) {
  constexpr auto kMax = static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max());
  const auto end = static_cast<std::int32_t>(std::min(count, kMax));
  int any = 0;  // a bool would keep the compiler from vectorising the loop
  for (const std::int32_t id : ids) any |= static_cast<int>(id < lowest) | static_cast<int>(id >= end);
  if (any == 0) return ids.size();
  const auto bad = std::find_if(ids.begin(), ids.end(), [=](std::int32_t id) { return id < lowest || id >= end; });
  return static_cast<std::size_t>(bad - ids.begin());
}

void check(const RouteCostInput& input, std::string_view source) {
  const auto& [first, experts] = input.token_assignments;
  if (first.empty() || first.front() != 0 || std::cmp_not_equal(first.back(), experts.size()) ||
      !std::is_sorted(first.begin(), first.end())) {
    throw InputError(source, "token_assignments", "its offsets", "wanted them to rise from 0 to the number of experts");
  }
  if (std::cmp_not_equal(input.token_to_gpu.size(), input.token_assignments.tokens())) {
    throw InputError(source, "token_to_gpu", fmt::format("{} entries", input.token_to_gpu.size()),
                     fmt::format("token_assignments has {} tokens", input.token_assignments.tokens()));
  }
  const std::size_t bad = find_out_of_range(experts, 0, input.expert_to_gpu.size());
  if (bad == experts.size()) return;
  throw InputError(source, fmt::format("token_assignments, pair {}", bad), std::to_string(experts[bad]),
                   fmt::format("expert_to_gpu has {} experts", input.expert_to_gpu.size()));
}

}  // namespace

RouteCost route_cost(const RouteCostInput& input, std::string_view source) {
  check(input, source);
  const auto& [first, experts] = input.token_assignments;
  std::int64_t local = 0;
  for (std::size_t token = 0; token < input.token_to_gpu.size(); ++token) {
    const std::int64_t own = input.token_to_gpu[token];
    for (auto pair = static_cast<std::size_t>(first[token]); pair < static_cast<std::size_t>(first[token + 1]);
         ++pair) {
      local += input.expert_to_gpu[static_cast<std::size_t>(experts[pair])] == own;
    }
  }
  const auto pairs = static_cast<std::int64_t>(experts.size());
  return price(local, pairs - local, input.token_hidden_bytes, input.bandwidth_gbps, source);
}

RouteCost route_cost(const routing::Routing& routing, std::span<const std::int32_t> expert_rank, int ranks,
                     std::int64_t token_hidden_bytes, double bandwidth_gbps) {
  constexpr std::string_view kSource = "route_cost";
  if (std::cmp_not_equal(expert_rank.size(), routing.experts)) {
    throw InputError(kSource, "expert_rank", fmt::format("{} entries", expert_rank.size()),
                     fmt::format("the routing has {} experts", routing.experts));
  }
  if (ranks < 1) throw InputError(kSource, "ranks", std::to_string(ranks), "wanted at least 1");
  const std::span<const std::int32_t> ids(routing.expert_ids);
  if (const std::size_t bad = find_out_of_range(ids, routing::kMasked, expert_rank.size()); bad != ids.size()) {
    throw InputError(kSource, fmt::format("expert_ids[{}]", bad), std::to_string(ids[bad]),
                     fmt::format("the routing has {} experts", routing.experts));
  }
  std::int64_t local = 0;
  std::int64_t masked = 0;
  // One byte an expert stays in the nearest cache; its first byte answers for kMasked = -1, so that no branch is
  // needed.
  std::vector<std::uint8_t> is_local(expert_rank.size() + 1);
  for (int rank = 0; rank < ranks; ++rank) {
    std::transform(expert_rank.begin(), expert_rank.end(), is_local.begin() + 1,
                   [rank](std::int32_t home) { return static_cast<std::uint8_t>(home == rank); });
    const auto begin = static_cast<std::size_t>(routing::first_token(routing.tokens, ranks, rank) * routing.topk);
    const auto end = static_cast<std::size_t>(routing::first_token(routing.tokens, ranks, rank + 1) * routing.topk);
    for (const std::int32_t expert : ids.subspan(begin, end - begin)) {
      local += is_local[static_cast<std::size_t>(expert) + 1];
      masked += expert == routing::kMasked;
    }
  }
  const auto slots = static_cast<std::int64_t>(ids.size());
  return price(local, slots - masked - local, token_hidden_bytes, bandwidth_gbps, kSource);
}

double round4(double value) {
  // DBL_MAX has 309 digits before the point. Both conversions are exact up to one correct rounding, by the standard.
  std::array<char, 320> digits{};
  const auto written = std::to_chars(digits.data(), digits.data() + digits.size(), value, std::chars_format::fixed, 4);
  double rounded = 0;
  std::from_chars(digits.data(), written.ptr, rounded);
  return rounded;
}

std::string python_repr(double value) {
  constexpr double kFirstScientific = 1e16;
  constexpr double kLastScientific = 1e-4;
  const double size = std::fabs(value);
  const bool fixed = size == 0 || (size >= kLastScientific && size < kFirstScientific);
  std::array<char, 32> digits{};
  const auto written = std::to_chars(digits.data(), digits.data() + digits.size(), value,
                                     fixed ? std::chars_format::fixed : std::chars_format::scientific);
  std::string text(digits.data(), written.ptr);
  if (fixed && text.find('.') == std::string::npos) text += ".0";
  return text;
}

std::string to_json(const RouteCost& cost) {
  return fmt::format(R"({{"local_tokens": {}, "remote_tokens": {}, "total_remote_bytes": {}, "comm_time_ms": {}}})",
                     cost.local_tokens, cost.remote_tokens, cost.total_remote_bytes, python_repr(cost.comm_time_ms));
}

}  // namespace ep::cost
