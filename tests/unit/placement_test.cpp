#include "placement/placement.hpp"

#include <cstdint>
#include <fstream>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/expect_input_error.hpp"

namespace ep::placement {
namespace {

using test::expect_input_error;
using testing::ElementsAre;

std::string write_file(const std::string& name, const std::string& content) {
  std::string path = testing::TempDir() + "placement_test_" + name;
  std::ofstream(path) << content;
  return path;
}

std::vector<std::int32_t> ranks_of(const Placement& placement) {
  return {placement.expert_ranks().begin(), placement.expert_ranks().end()};
}

TEST(Placement, BlockIsFloorOfShare) {
  EXPECT_THAT(ranks_of(make_placement("block", 8, 4)), ElementsAre(0, 0, 1, 1, 2, 2, 3, 3));
  EXPECT_THAT(ranks_of(make_placement("block", 7, 3)), ElementsAre(0, 0, 0, 1, 1, 2, 2));
  EXPECT_THAT(ranks_of(make_placement("block", 2, 5)), ElementsAre(0, 2));
  EXPECT_EQ(make_placement("block", 7, 3).name(), "block");
}

TEST(Placement, BlockDoesNotOverflow) {
  EXPECT_EQ(make_placement("block", 100'000, 100'000).rank_of(99'999), 99'999);
}

TEST(Placement, RoundRobinIsModulo) {
  EXPECT_THAT(ranks_of(make_placement("round-robin", 7, 3)), ElementsAre(0, 1, 2, 0, 1, 2, 0));
}

TEST(Placement, SlotsFollowExpertOrderAndRanksMayBeEmpty) {
  const Placement placement({3, 1, 3, 1, 3}, 5, "mine");
  EXPECT_EQ(placement.experts(), 5);
  EXPECT_EQ(placement.ranks(), 5);
  EXPECT_EQ(placement.max_local(), 3);
  EXPECT_EQ(placement.name(), "mine");
  EXPECT_THAT(placement.experts_of(0), ElementsAre());
  EXPECT_THAT(placement.experts_of(1), ElementsAre(1, 3));
  EXPECT_THAT(placement.experts_of(3), ElementsAre(0, 2, 4));
  EXPECT_THAT(placement.experts_of(4), ElementsAre());
  EXPECT_EQ(placement.slot_of(4), 2);
}

class EveryPlacement : public testing::TestWithParam<std::tuple<const char*, int, int>> {};

TEST_P(EveryPlacement, RanksPartitionExperts) {
  const auto& [spec, experts, ranks] = GetParam();
  const Placement placement = make_placement(spec, experts, ranks);
  int seen = 0;
  for (int rank = 0; rank < ranks; ++rank) {
    const auto local = placement.experts_of(rank);
    EXPECT_LE(static_cast<int>(local.size()), placement.max_local());
    EXPECT_LE(static_cast<int>(local.size()), (experts + ranks - 1) / ranks) << "uneven";
    for (std::size_t slot = 0; slot < local.size(); ++slot, ++seen) {
      EXPECT_EQ(placement.rank_of(local[slot]), rank);
      EXPECT_EQ(placement.slot_of(local[slot]), static_cast<int>(slot));
    }
  }
  EXPECT_EQ(seen, experts);
}

INSTANTIATE_TEST_SUITE_P(Shapes, EveryPlacement,
                         testing::Combine(testing::Values("block", "round-robin"), testing::Values(1, 2, 7, 32, 61),
                                          testing::Values(1, 2, 3, 4, 5, 8, 9)));

TEST(PlacementFile, ObjectAndListMeanTheSame) {
  const std::string object = write_file("object.json", R"({"2": 1, "0": 0, "1": 1})");
  const std::string list = write_file("list.json", "[0, 1, 1]");
  EXPECT_THAT(ranks_of(make_placement(object, 3, 2)), ElementsAre(0, 1, 1));
  EXPECT_THAT(ranks_of(make_placement(list, 3, 2)), ElementsAre(0, 1, 1));
  EXPECT_EQ(make_placement(list, 3, 2).name(), list);
}

TEST(PlacementFile, ErrorsNameFileExpertAndRank) {
  const auto place = [](const std::string& path) { return [path] { make_placement(path, 3, 2); }; };
  std::string path = write_file("range.json", "[0, 2, 1]");
  expect_input_error(place(path), {path, "expert 1", "2", "0 to 1"});
  path = write_file("negative.json", "[0, -1, 1]");
  expect_input_error(place(path), {path, "placement[1]", "-1"});
  path = write_file("few.json", "[0, 1]");
  expect_input_error(place(path), {path, "2 experts", "wanted 3"});
  path = write_file("missing.json", R"({"0": 0, "1": 0, "3": 1})");
  expect_input_error(place(path), {path, "expert 3"});
  path = write_file("twice.json", R"({"0": 0, "1": 0, "1": 1})");
  expect_input_error(place(path), {path, "\"1\"", "twice"});
  path = write_file("huge.json", R"([0, 1, 4294967296])");
  expect_input_error(place(path), {path, "placement[2]", "4294967296"});
  path = write_file("empty.json", "");
  expect_input_error(place(path), {path, "empty"});
  path = write_file("none.json", "{}");
  expect_input_error(place(path), {path, "no experts"});
  path = write_file("word.json", "\"block\"");
  expect_input_error(place(path), {path, "\"block\""});
  expect_input_error(place("blok"), {"--placement", "blok", "round-robin"});
}

TEST(Placement, RefusesImpossibleShapes) {
  expect_input_error([] { make_placement("block", 0, 2); }, {"experts", "0"});
  expect_input_error([] { make_placement("block", 4, 0); }, {"ranks", "0"});
  expect_input_error([] { Placement({0, 5}, 2, "x"); }, {"placement", "expert 1", "5"});
  expect_input_error([] { Placement({0, -1}, 2, "x"); }, {"expert 1", "-1"});
}

TEST(Topology, BlocksOfRanks) {
  const Topology topology = block_topology(5, 2);
  EXPECT_THAT(topology.node_of_rank, ElementsAre(0, 0, 1, 1, 2));
  EXPECT_EQ(topology.nodes, 3);
  EXPECT_TRUE(topology.same_node(0, 1));
  EXPECT_FALSE(topology.same_node(1, 2));
  EXPECT_EQ(block_topology(3, 8).nodes, 1);
  expect_input_error([] { block_topology(3, 0); }, {"ranks per node", "0"});
  expect_input_error([] { block_topology(0, 1); }, {"ranks", "0"});
}

}  // namespace
}  // namespace ep::placement
