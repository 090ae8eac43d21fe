#include "exchange/pairing.hpp"

#include <algorithm>
#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace ep::exchange {
namespace {

TEST(Partner, IsMutualAndMeetsEveryoneOnce) {
  for (int players = 1; players <= 17; ++players) {
    for (int player = 0; player < players; ++player) {
      std::multiset<int> met;
      for (int round = 0; round < rounds(players); ++round) {
        const int other = partner(player, round, players);
        ASSERT_GE(other, 0);
        ASSERT_LT(other, players);
        ASSERT_EQ(partner(other, round, players), player) << players << " players, round " << round;
        if (other != player) met.insert(other);
      }
      ASSERT_EQ(met.size(), static_cast<std::size_t>(players - 1)) << players << " players, player " << player;
      ASSERT_EQ(std::set<int>(met.begin(), met.end()).size(), met.size());
      ASSERT_EQ(met.count(player), 0U);
    }
  }
}

TEST(Partner, NobodySitsOutAmongAnEvenNumber) {
  for (int players = 2; players <= 16; players += 2)
    for (int round = 0; round < rounds(players); ++round)
      for (int player = 0; player < players; ++player) ASSERT_NE(partner(player, round, players), player);
}

class Orders : public testing::TestWithParam<std::vector<int>> {};

TEST_P(Orders, CoverEveryOtherRankOnce) {
  const std::vector<int>& nodes = GetParam();
  for (std::size_t rank = 0; rank < nodes.size(); ++rank) {
    std::set<int> seen{static_cast<int>(rank)};
    for (const int peer : local_order(static_cast<int>(rank), nodes)) {
      EXPECT_EQ(nodes[static_cast<std::size_t>(peer)], nodes[rank]);
      EXPECT_TRUE(seen.insert(peer).second);
    }
    for (const int peer : remote_order(static_cast<int>(rank), nodes)) {
      EXPECT_NE(nodes[static_cast<std::size_t>(peer)], nodes[rank]);
      EXPECT_TRUE(seen.insert(peer).second);
    }
    EXPECT_EQ(seen.size(), nodes.size());
  }
}

INSTANTIATE_TEST_SUITE_P(Topologies, Orders,
                         testing::Values(std::vector{0}, std::vector{0, 0, 0}, std::vector{0, 1}, std::vector{0, 1, 2},
                                         std::vector{0, 0, 1, 1, 2, 2, 3, 3}, std::vector{0, 1, 2, 0, 1, 2},
                                         std::vector{0, 0, 0, 1, 2, 2, 2}, std::vector{0, 1, 1, 1, 1}));

TEST(RemoteOrder, PairsRanksInStepWhereNodesAreAlike) {
  const std::vector<int> nodes{0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3};
  std::vector<std::vector<int>> orders;
  for (int rank = 0; rank < 12; ++rank) orders.push_back(remote_order(rank, nodes));
  for (std::size_t step = 0; step < 9; ++step)
    for (int rank = 0; rank < 12; ++rank) {
      const auto peer = static_cast<std::size_t>(orders[static_cast<std::size_t>(rank)][step]);
      EXPECT_EQ(orders[peer][step], rank) << "step " << step;
    }
}

}  // namespace
}  // namespace ep::exchange
