#include "cluster/cluster.hpp"

#include <filesystem>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "cost/exchange_cost.hpp"
#include "tests/unit/expect_input_error.hpp"

namespace ep::cluster {
namespace {

using nlohmann::json;

const std::filesystem::path kFolder = std::filesystem::path(EPBENCH_SOURCE_DIR) / "data" / "clusters";

json h100() {
  return json::parse(to_json(load((kFolder / "h100.json").string())));
}

/// Expects the H100 file, changed by `spoil`, to be refused with a message that holds `parts`.
void expect_refused(const std::function<void(json&)>& spoil, std::initializer_list<std::string> parts) {
  json document = h100();
  spoil(document);
  test::expect_input_error([&] { parse(document.dump(), "my.json"); }, parts);
}

TEST(ClusterFile, EveryShippedOneIsReadAndSaysWhereItsFiguresComeFrom) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    SCOPED_TRACE(entry.path());
    const Cluster cluster = load(entry.path().string());
    EXPECT_GT(cluster.in_node->value.gbs, cluster.between_nodes->value.gbs);
    EXPECT_DOUBLE_EQ(cluster.node_nic->value.gbs, cluster.ranks_per_node * cluster.between_nodes->value.gbs);
    for (const std::string& origin : {cluster.in_node->origin, cluster.between_nodes->origin, cluster.node_nic->origin,
                                      cluster.own_memory.origin, cluster.gemm.at(0).origin}) {
      EXPECT_THAT(origin, testing::AnyOf(testing::HasSubstr("datasheet"), testing::HasSubstr("arXiv")));
    }
    ++files;
  }
  EXPECT_EQ(files, 6);
}

TEST(ClusterFile, WhatIsWrittenReadsBack) {
  Cluster cluster = load((kFolder / "h800.json").string());
  cluster.kernels[schedule::OpKind::pack] = {cost::Line{1.5, 1000}, "measured"};
  cluster.link_scale[1] = {{0.8, 0.9}, "measured"};
  cluster.ranks[3] = {{cost::Line{1, 2, 3}, std::nullopt, 1.25}, "measured"};
  const std::string text = to_json(cluster);
  const Cluster again = parse(text, "again");
  EXPECT_EQ(to_json(again), text);
  EXPECT_EQ(again.kernels.at(schedule::OpKind::pack).value.gbs, 1000);
  EXPECT_EQ(again.ranks.at(3).value.in_node->start_us, 3);
  EXPECT_EQ(again.ranks.at(3).value.compute, 1.25);
  const cost::Machine machine = to_machine(again, placement::block_topology(16, 8));
  EXPECT_EQ(machine.scale_of(0).egress, 1);
  EXPECT_EQ(machine.scale_of(1).ingress, 0.9);
  EXPECT_EQ(from_machine(machine, "back").link_scale.at(1).value.egress, 0.8);
}

TEST(ClusterFile, GemmRatesBecomeTimes) {
  // 2 * 1000 * 8192^2 operations at 989.4 TFLOP/s; one row takes the time of reading 8192^2 bf16 weights.
  const cost::GemmCurve curve = load((kFolder / "h100.json").string()).gemm.at(0).value;
  EXPECT_NEAR(curve.time_us(65536), 2.0 * 65536 * 8192 * 8192 / 989.4e6, 1);
  EXPECT_NEAR(curve.time_us(1), 2.0 * 8192 * 8192 / 3350e3, 1e-6);
}

TEST(ClusterFile, NamesFileFieldAndValueOfWhatIsWrong) {
  expect_refused([](json& d) { d["nodes"] = 0; }, {"my.json", "nodes", "0"});
  expect_refused([](json& d) { d["nodes"] = 1.5; }, {"nodes", "1.5"});
  expect_refused([](json& d) { d["format"] = 2; }, {"format", "2"});
  expect_refused([](json& d) { d.erase("overlap"); }, {"cluster", "overlap"});
  expect_refused([](json& d) { d["extra"] = 1; }, {"cluster", "extra"});
  expect_refused([](json& d) { d["name"] = ""; }, {"name"});
  expect_refused([](json& d) { d["links_at_once"] = 1; }, {"links_at_once", "1"});
  expect_refused([](json& d) { d["links"]["in_node"]["gbs"] = 0; }, {"links.in_node.gbs", "0"});
  expect_refused([](json& d) { d["links"]["in_node"]["latency_us"] = -1; }, {"links.in_node.latency_us", "-1"});
  expect_refused([](json& d) { d["links"]["in_node"] = nullptr; }, {"links.in_node", "several ranks a node"});
  expect_refused([](json& d) { d["links"]["between_nodes"] = nullptr; }, {"links.between_nodes", "several nodes"});
  expect_refused([](json& d) { d["own_memory"].erase("origin"); }, {"own_memory", "origin"});
  expect_refused([](json& d) { d["own_memory"]["points"] = 7; }, {"own_memory.points", "7"});
  expect_refused(
      [](json& d) {
        d["own_memory"]["points"] = {{{"bytes", 0}, {"us", 9}}};
      },
      {"own_memory.points[0].bytes", "0"});
  expect_refused(
      [](json& d) {
        d["own_memory"]["points"] = {{{"bytes", 8}, {"us", 9}}, {{"bytes", 8}, {"us", 10}}};
      },
      {"own_memory.points[1].bytes", "8"});
  expect_refused(
      [](json& d) {
        d["own_memory"]["points"] = {{{"bytes", 8}, {"us", 9}}, {{"bytes", 16}, {"us", 8.5}}};
      },
      {"own_memory.points[1].us", "8.5"});
  expect_refused(
      [](json& d) {
        d["links"]["in_node"]["points"] = {{{"bytes", -1}, {"us", 9}}};
      },
      {"links.in_node.points[0].bytes", "-1"});
  expect_refused([](json& d) { d["links"].erase("fabric"); }, {"links", "fabric"});
  expect_refused([](json& d) { d["kernels"]["packk"] = d["own_memory"]; }, {"kernels", "packk"});
  expect_refused([](json& d) { d["kernels"]["?"] = d["own_memory"]; }, {"kernels", "?"});
  expect_refused([](json& d) { d["gemm"] = json::array(); }, {"gemm"});
  expect_refused([](json& d) { d["gemm"][0]["points"][1]["rows"] = 1; }, {"gemm[0].points[1].rows", "1"});
  expect_refused([](json& d) { d["gemm"][0]["points"][1]["tflops"] = 1e6; }, {"gemm[0].points[1].tflops"});
  expect_refused([](json& d) { d["overlap"]["comm"] = 0.5; }, {"overlap.comm", "0.5"});
  expect_refused(
      [](json& d) {
        d["link_scale"] = {{{"node", 0}, {"egress", 0}, {"ingress", 1}, {"origin", "x"}}};
      },
      {"link_scale[0].egress", "0"});
  expect_refused([](json& d) { d["ranks"] = {{"rank", 1}}; }, {"ranks"});
  test::expect_input_error([] { parse("{", "my.json"); }, {"my.json"});
  test::expect_input_error([] { load("/nowhere.json"); }, {"/nowhere.json"});
}

TEST(ClusterMachine, RefusesAJobWhoseLinksItDoesNotHave) {
  Cluster cluster = load((kFolder / "h100.json").string());
  cluster.between_nodes.reset();
  EXPECT_NO_THROW(to_machine(cluster, placement::block_topology(8, 8)));
  test::expect_input_error([&] { to_machine(cluster, placement::block_topology(16, 8)); }, {"links.between_nodes"});
}

TEST(ClusterMachine, SurvivesTheWayToAFileAndBack) {
  cost::Machine machine = to_machine(load((kFolder / "a100.json").string()), placement::block_topology(16, 8));
  machine.origin = "calibrated on a test";
  machine.node_memory = {1, 100, 0, {{1e6, 12}, {4e6, 70}}};
  machine.fabric = {20, 150, 0, {{1e6, 30}}};
  const Cluster cluster = from_machine(machine, "sixteen");
  EXPECT_EQ(cluster.nodes, 2);
  EXPECT_EQ(cluster.ranks_per_node, 8);
  EXPECT_EQ(cluster.counts_us.origin, "calibrated on a test");
  const cost::Machine again = to_machine(parse(to_json(cluster), "text"), machine.topology);
  EXPECT_EQ(again.in_node.gbs, machine.in_node.gbs);
  EXPECT_EQ(again.between_nodes.start_us, machine.between_nodes.start_us);
  EXPECT_DOUBLE_EQ(again.gemm[0].time_us(500), machine.gemm[0].time_us(500));
  EXPECT_DOUBLE_EQ(again.node_memory.time_us(3e6), machine.node_memory.time_us(3e6));
  EXPECT_DOUBLE_EQ(again.fabric.time_us(3e6), machine.fabric.time_us(3e6));
}

TEST(ClusterMachine, OneRanksLinkAndComputeMayDiffer) {
  Cluster cluster = load((kFolder / "h100.json").string());
  cost::RankOverride slow;
  slow.in_node = cost::Line{0, 45};
  cluster.ranks[5] = {slow, "measured"};
  const cost::Machine machine = to_machine(cluster, placement::block_topology(8, 8));
  const auto cost = cost::exchange_cost(core::Matrix<std::int64_t>(8, 8, 1000), 14336, machine);
  EXPECT_EQ(cost.uses[0].index, 5);
  EXPECT_DOUBLE_EQ(cost.total_us, 7 * 1000 * 14336 / 45e3);
}

}  // namespace
}  // namespace ep::cluster
