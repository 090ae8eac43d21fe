#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "cost/exchange_cost.hpp"
#include "cost/flows.hpp"

namespace ep::cost {
namespace {

/// 1 GB/s is 1000 bytes a microsecond: rows of 1000 bytes take a microsecond each.
constexpr std::int64_t kRowBytes = 1000;

Machine plain_machine(int ranks, int ranks_per_node) {
  Machine m;
  m.topology = placement::block_topology(ranks, ranks_per_node);
  m.in_node = {0, 1};
  m.between_nodes = {0, 1};
  return m;
}

core::Matrix<std::int64_t> messages(int ranks, std::initializer_list<std::array<std::int64_t, 3>> from_to_rows) {
  core::Matrix<std::int64_t> rows(ranks, ranks);
  for (const auto& [from, to, count] : from_to_rows) rows(from, to) = count;
  return rows;
}

std::vector<double> ends(const core::Matrix<std::int64_t>& rows, const Machine& m, const std::vector<double>& starts) {
  return Flows(rows, kRowBytes, m).ends_us(starts);
}

double last(const std::vector<double>& times) {
  return *std::max_element(times.begin(), times.end());
}

TEST(Flows, ARankIsThroughWhenItsLastMessageIs) {
  // Rank 0 serves both messages at half speed until the short one is through, at 8; the long one ends at 4 + 10.
  EXPECT_EQ(ends(messages(3, {{0, 1, 4}, {0, 2, 10}}), plain_machine(3, 3), {0, 0, 0}),
            (std::vector<double>{14, 8, 14}));
}

TEST(Flows, AMessageWaitsForBothItsRanks) {
  // To rank 2 from 0 on and from 4 on: 4 us alone, then halves, until the second is through at 4 + 2 * 2.
  EXPECT_EQ(ends(messages(3, {{0, 2, 10}, {1, 2, 2}}), plain_machine(3, 3), {0, 4, 0}),
            (std::vector<double>{12, 8, 12}));
  EXPECT_EQ(ends(messages(3, {{0, 2, 10}, {1, 2, 2}}), plain_machine(3, 3), {0, 0, 5}),
            (std::vector<double>{17, 9, 17}));
  // The second comes when the first is through.
  EXPECT_EQ(ends(messages(3, {{0, 2, 10}, {1, 2, 2}}), plain_machine(3, 3), {0, 50, 0}),
            (std::vector<double>{10, 52, 52}));
}

TEST(Flows, RanksWithoutMessagesAreThroughAtOnce) {
  EXPECT_EQ(ends(messages(3, {{0, 1, 4}}), plain_machine(3, 3), {1, 2, 3}), (std::vector<double>{6, 6, 3}));
}

TEST(Flows, ASlowLinkHoldsUpOnlyThoseAtItsEnds) {
  Machine m = plain_machine(4, 1);
  m.link_scale = {{1, 1}, {1, 1}, {0.1, 1}, {1, 1}};
  EXPECT_EQ(ends(messages(4, {{0, 1, 10}, {1, 0, 10}, {2, 3, 10}}), m, {0, 0, 0, 0}),
            (std::vector<double>{10, 10, 100, 100}));
}

/// Whatever binds: the last rank is through when exchange_cost says, if all begin together, and never sooner otherwise.
TEST(Flows, LastRankAgreesWithExchangeCost) {
  std::mt19937 dice(7);
  const auto chance = [&](double p) { return std::bernoulli_distribution(p)(dice); };
  const auto number = [&](int most) { return std::uniform_int_distribution<std::int64_t>(0, most)(dice); };
  for (int trial = 0; trial < 200; ++trial) {
    const int ranks = 1 + static_cast<int>(number(7));
    Machine m = plain_machine(ranks, 1 + static_cast<int>(number(3)));
    m.in_node = {0.5, 4, chance(0.5) ? 3.0 : 0.0};
    m.between_nodes = {2, 1, chance(0.5) ? 7.0 : 0.0};
    m.links_at_once = chance(0.5);
    if (chance(0.5)) m.node_memory = {3, 2};
    if (chance(0.3)) m.node_memory = {3, 2, 0, {{4000, 5}, {20000, 50}}};
    if (chance(0.3)) m.between_nodes.points = {{2000, 4}, {9000, 30}};
    if (chance(0.5)) m.node_nic = {5, 0.7};
    if (chance(0.5)) m.fabric = {4, 0.6, 0, {{5000, 20}, {50000, 90}}};
    if (chance(0.5)) m.link_scale.assign(static_cast<std::size_t>(m.topology.nodes), {0.5, 0.8});
    if (!m.link_scale.empty()) m.link_scale[0] = {1, 0.3};
    if (chance(0.5)) m.ranks[0].between_nodes = Line{1, 0.3};
    core::Matrix<std::int64_t> rows(ranks, ranks);
    for (std::int64_t& count : rows.values()) count = chance(0.7) ? number(100) : 0;
    const double together = exchange_cost(rows, kRowBytes, m).total_us;
    EXPECT_NEAR(last(ends(rows, m, std::vector<double>(static_cast<std::size_t>(ranks), 0))), together,
                1e-9 * together);
    std::vector<double> starts;
    for (int rank = 0; rank < ranks; ++rank) starts.push_back(static_cast<double>(number(300)));
    const auto through = ends(rows, m, starts);
    EXPECT_LE(last(through), last(starts) + together * (1 + 1e-9));
    for (std::size_t rank = 0; rank < starts.size(); ++rank) EXPECT_GE(through[rank], starts[rank]);
  }
}

}  // namespace
}  // namespace ep::cost
