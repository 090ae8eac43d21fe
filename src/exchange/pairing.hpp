#pragma once
#include <span>
#include <vector>

namespace ep::exchange {

/// Partner of player `index` in round `round` of a round-robin tournament of `players`: partner(partner(i)) = i, and
/// over the `rounds(players)` rounds everyone meets everyone once (the circle method). Returns `index` for a bye.
[[nodiscard]] int partner(int index, int round, int players);
[[nodiscard]] int rounds(int players);

/// Ranks of other nodes in the order in which `rank` talks to them: nodes meet in tournament rounds, and within a
/// meeting their ranks pair off, so that at any place of the lists a node has one counterpart and each of its ranks has
/// one. node_of_rank [ranks].
[[nodiscard]] std::vector<int> remote_order(int rank, std::span<const int> node_of_rank);

/// The other ranks of the same node, each starting after itself so that no one rank is everybody's first.
[[nodiscard]] std::vector<int> local_order(int rank, std::span<const int> node_of_rank);

}  // namespace ep::exchange
