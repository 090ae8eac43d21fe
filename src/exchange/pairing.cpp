#include "exchange/pairing.hpp"

#include <algorithm>
#include <cstddef>

namespace ep::exchange {
namespace {

std::vector<int> members(int node, std::span<const int> node_of_rank) {
  std::vector<int> ranks;
  for (std::size_t r = 0; r < node_of_rank.size(); ++r)
    if (node_of_rank[r] == node) ranks.push_back(static_cast<int>(r));
  return ranks;
}

/// Where `rank` stands among `ranks`, which hold it.
int place(int rank, const std::vector<int>& ranks) {
  return static_cast<int>(std::find(ranks.begin(), ranks.end(), rank) - ranks.begin());
}

}  // namespace

int rounds(int players) {
  return players % 2 == 0 ? players - 1 : players;
}

int partner(int index, int round, int players) {
  // On a circle of odd size i and (round - i) are partners, and one player is its own: with an even number of players
  // the last one, who stands outside the circle, takes that one.
  const int circle = rounds(players);
  const bool odd_one_out = players % 2 == 0;
  if (odd_one_out && index == circle) return round * ((circle + 1) / 2) % circle;
  const int other = (round - index + circle) % circle;
  return other == index && odd_one_out ? circle : other;
}

std::vector<int> remote_order(int rank, std::span<const int> node_of_rank) {
  const int own = node_of_rank[static_cast<std::size_t>(rank)];
  const int nodes = 1 + *std::max_element(node_of_rank.begin(), node_of_rank.end());
  const std::vector<int> mine = members(own, node_of_rank);
  std::vector<int> order;
  for (int round = 0; round < rounds(nodes); ++round) {
    const int node = partner(own, round, nodes);
    if (node == own) continue;
    const std::vector<int> theirs = members(node, node_of_rank);
    const auto pairings = static_cast<int>(std::max(mine.size(), theirs.size()));
    for (int k = 0; k < pairings; ++k) {
      const auto other = static_cast<std::size_t>((k - place(rank, mine) + pairings) % pairings);
      if (other < theirs.size()) order.push_back(theirs[other]);
    }
  }
  return order;
}

std::vector<int> local_order(int rank, std::span<const int> node_of_rank) {
  std::vector<int> order = members(node_of_rank[static_cast<std::size_t>(rank)], node_of_rank);
  std::rotate(order.begin(), order.begin() + place(rank, order), order.end());
  order.erase(order.begin());
  return order;
}

}  // namespace ep::exchange
