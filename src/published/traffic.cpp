#include "published/traffic.hpp"

#include <algorithm>
#include <numeric>
#include <set>

#include "core/random.hpp"

namespace ep::published {

namespace {

constexpr std::int64_t kSample = 2048;

int rank_of(const Row& row, std::int64_t expert) {
  return static_cast<int>(expert * row.ranks / row.experts);
}

int node_of(const Row& row, int rank) {
  return rank / row.ranks_per_node;
}

std::vector<int> best(const std::vector<double>& scores, int count) {
  std::vector<int> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + count, order.end(), [&](int a, int b) {
    return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)];
  });
  order.resize(static_cast<std::size_t>(count));
  return order;
}

std::vector<int> uniform_experts(const Row& row, std::int64_t token) {
  core::Random random(1, static_cast<std::uint64_t>(token));
  std::vector<double> scores(static_cast<std::size_t>(row.experts));
  for (double& score : scores) score = random.uniform();
  if (row.groups_limit > 0 && row.groups_limit < row.nodes()) {
    std::vector<double> group(static_cast<std::size_t>(row.nodes()));
    const auto group_of = [&](int expert) { return static_cast<std::size_t>(node_of(row, rank_of(row, expert))); };
    for (int expert = 0; expert < row.experts; ++expert) {
      group[group_of(expert)] = std::max(group[group_of(expert)], scores[static_cast<std::size_t>(expert)]);
    }
    const std::vector<int> chosen = best(group, row.groups_limit);
    for (int expert = 0; expert < row.experts; ++expert) {
      const bool allowed = std::find(chosen.begin(), chosen.end(), static_cast<int>(group_of(expert))) != chosen.end();
      if (!allowed) scores[static_cast<std::size_t>(expert)] = -1;
    }
  }
  return best(scores, row.topk);
}

std::vector<int> stride_experts(const Row& row, std::int64_t token) {
  std::vector<int> experts;
  for (int slot = 0; slot < row.topk; ++slot) {
    auto expert = static_cast<int>((17 * token + 31 * slot) % row.experts);
    while (std::find(experts.begin(), experts.end(), expert) != experts.end()) expert = (expert + 1) % row.experts;
    experts.push_back(expert);
  }
  return experts;
}

void add(TokenTraffic& sum, const Row& row, std::int64_t token) {
  const int own_rank = static_cast<int>(token / row.tokens_per_rank);
  const int own_node = node_of(row, own_rank);
  std::set<int> ranks;
  std::set<int> nodes;
  for (const int expert : row.route == Route::uniform ? uniform_experts(row, token) : stride_experts(row, token)) {
    const int rank = rank_of(row, expert);
    ranks.insert(rank);
    nodes.insert(node_of(row, rank));
    sum.rank_copies += rank == own_rank ? 1 : 0;
    sum.node_copies += node_of(row, rank) == own_node ? 1 : 0;
  }
  sum.ranks += static_cast<double>(ranks.size());
  sum.nodes += static_cast<double>(nodes.size());
  sum.remote_nodes += static_cast<double>(nodes.size() - nodes.count(own_node));
}

}  // namespace

TokenTraffic token_traffic(const Row& row) {
  const std::int64_t tokens = row.tokens_per_rank * row.ranks;
  const std::int64_t sample = std::min(tokens, kSample);
  TokenTraffic sum;
  for (std::int64_t i = 0; i < sample; ++i) add(sum, row, i * tokens / sample);
  const double scale = 1.0 / static_cast<double>(sample);
  return {sum.ranks * scale, sum.nodes * scale, sum.remote_nodes * scale, sum.node_copies * scale,
          sum.rank_copies * scale};
}

}  // namespace ep::published
