#include "placement/placement.hpp"

#include <algorithm>
#include <filesystem>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/json.hpp"
#include "core/parse.hpp"

namespace ep::placement {

namespace {

using core::InputError;

constexpr std::int64_t kMaxFileBytes = std::int64_t{16} << 20;

void check(std::span<const std::int32_t> expert_rank, int ranks, std::string_view source) {
  if (ranks < 1) throw InputError(source, "ranks", std::to_string(ranks), "wanted at least 1");
  if (expert_rank.empty()) throw InputError(source, "experts", "0", "wanted at least 1");
  for (std::size_t expert = 0; expert < expert_rank.size(); ++expert) {
    const std::int32_t rank = expert_rank[expert];
    if (rank >= 0 && rank < ranks) continue;
    throw InputError(source, fmt::format("rank of expert {}", expert), std::to_string(rank),
                     fmt::format("wanted 0 to {}", ranks - 1));
  }
}

constexpr std::int32_t block_rank(std::int64_t expert, int experts, int ranks) {
  return static_cast<std::int32_t>(expert * ranks / experts);
}

std::vector<std::int32_t> read_expert_map(const std::string& path, int experts) {
  if (!std::filesystem::exists(path)) {
    throw InputError("command line", "--placement", path,
                     "wanted block, round-robin or a JSON file, and no such file exists");
  }
  std::vector<std::int32_t> expert_rank = parse_expert_map(core::read_file(path, kMaxFileBytes), path, "placement");
  if (std::cmp_not_equal(expert_rank.size(), experts)) {
    throw InputError(path, "placement", fmt::format("{} experts", expert_rank.size()),
                     fmt::format("wanted {}", experts));
  }
  return expert_rank;
}

}  // namespace

Placement::Placement(std::vector<std::int32_t> expert_rank, int ranks, std::string name)
    : ranks_(ranks), name_(std::move(name)), expert_rank_(std::move(expert_rank)) {
  check(expert_rank_, ranks, "placement");
  first_.resize(static_cast<std::size_t>(ranks) + 1);
  slot_.reserve(expert_rank_.size());
  // first_[r + 1] counts rank r's experts first, then becomes their end.
  for (const std::int32_t rank : expert_rank_) {
    slot_.push_back(static_cast<std::int32_t>(first_[static_cast<std::size_t>(rank) + 1]++));
    max_local_ = std::max(max_local_, slot_.back() + 1);
  }
  for (std::size_t rank = 0; rank < static_cast<std::size_t>(ranks); ++rank) first_[rank + 1] += first_[rank];
  by_rank_.resize(expert_rank_.size());
  for (std::size_t expert = 0; expert < expert_rank_.size(); ++expert) {
    const auto rank = static_cast<std::size_t>(expert_rank_[expert]);
    by_rank_[static_cast<std::size_t>(first_[rank] + slot_[expert])] = static_cast<std::int32_t>(expert);
  }
}

std::span<const std::int32_t> Placement::experts_of(int rank) const {
  const auto begin = static_cast<std::size_t>(first_[static_cast<std::size_t>(rank)]);
  const auto end = static_cast<std::size_t>(first_[static_cast<std::size_t>(rank) + 1]);
  return std::span(by_rank_).subspan(begin, end - begin);
}

Placement make_placement(std::string_view spec, int experts, int ranks) {
  if (experts < 1) throw InputError("placement", "experts", std::to_string(experts), "wanted at least 1");
  if (ranks < 1) throw InputError("placement", "ranks", std::to_string(ranks), "wanted at least 1");
  if (spec != "block" && spec != "round-robin") {
    const std::string path(spec);
    std::vector<std::int32_t> expert_rank = read_expert_map(path, experts);
    check(expert_rank, ranks, path);
    return {std::move(expert_rank), ranks, path};
  }
  std::vector<std::int32_t> expert_rank;
  expert_rank.reserve(static_cast<std::size_t>(experts));
  for (int expert = 0; expert < experts; ++expert) {
    expert_rank.push_back(spec == "block" ? block_rank(expert, experts, ranks) : expert % ranks);
  }
  return {std::move(expert_rank), ranks, std::string(spec)};
}

std::vector<std::int32_t> parse_expert_map(const std::string& json, std::string_view source, std::string_view field) {
  const auto pairs = core::whole_number_map(core::parse_json(json, source), source, field);
  if (pairs.empty()) throw InputError(source, field, "no experts", "wanted at least 1");
  std::vector<std::int32_t> expert_rank(pairs.size());
  for (const auto& [expert, rank] : pairs) {
    // Keys are distinct: when all are below their number, none is missing.
    if (std::cmp_greater_equal(expert, pairs.size())) {
      throw InputError(
          source, field, fmt::format("expert {}", expert),
          fmt::format("it names {} experts, so wanted each of 0 to {} once", pairs.size(), pairs.size() - 1));
    }
    if (!std::in_range<std::int32_t>(rank)) {
      throw InputError(source, fmt::format("{}[{}]", field, expert), std::to_string(rank), "no rank is that large");
    }
    expert_rank[static_cast<std::size_t>(expert)] = static_cast<std::int32_t>(rank);
  }
  return expert_rank;
}

Topology block_topology(int ranks, int ranks_per_node) {
  if (ranks < 1) throw InputError("topology", "ranks", std::to_string(ranks), "wanted at least 1");
  if (ranks_per_node < 1) {
    throw InputError("topology", "ranks per node", std::to_string(ranks_per_node), "wanted at least 1");
  }
  Topology topology;
  topology.node_of_rank.reserve(static_cast<std::size_t>(ranks));
  for (int rank = 0; rank < ranks; ++rank) topology.node_of_rank.push_back(rank / ranks_per_node);
  topology.nodes = topology.node_of_rank.back() + 1;
  return topology;
}

}  // namespace ep::placement
