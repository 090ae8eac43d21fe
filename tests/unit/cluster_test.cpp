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

/// Of a link, with figures that no short decimal has, and of the first GEMM, which supports none.
cost::Fits some_fits() {
  return {{"links.in_node", {0.1 + 0.2, cost::Estimate{1.0 / 3, 0.3, 0.4}, std::nullopt, {{4096, 1.7, -0.1 / 3}}}},
          {"gemm[0]", {std::nullopt, std::nullopt, cost::Estimate{2, 2, 2}, {{8, 3, 0}, {8, 4, 0.5}}}}};
}

TEST(ClusterFits, WhatIsWrittenReadsBack) {
  Cluster cluster = load((kFolder / "h100.json").string());
  EXPECT_TRUE(cluster.fits.empty());
  EXPECT_FALSE(json::parse(to_json(cluster)).contains("fits"));
  cluster.fits = some_fits();
  const cost::Fits again = parse(to_json(cluster), "again").fits;
  ASSERT_EQ(again.size(), 2U);
  const cost::Fit& link = again.at("links.in_node");
  EXPECT_EQ(link.r_squared, 0.1 + 0.2);
  EXPECT_EQ(link.fixed_us.value().value, 1.0 / 3);
  EXPECT_EQ(link.fixed_us->low, 0.3);
  EXPECT_EQ(link.fixed_us->high, 0.4);
  EXPECT_FALSE(link.gbs);
  ASSERT_EQ(link.samples.size(), 1U);
  EXPECT_EQ(link.samples[0].size, 4096);
  EXPECT_EQ(link.samples[0].us, 1.7);
  EXPECT_EQ(link.samples[0].residual, -0.1 / 3);
  const cost::Fit& gemm = again.at("gemm[0]");
  EXPECT_FALSE(gemm.r_squared || gemm.fixed_us);
  EXPECT_EQ(gemm.gbs.value().high, 2);
  EXPECT_EQ(gemm.samples.size(), 2U);
}

TEST(ClusterFits, NamesFileFieldAndValueOfWhatIsWrong) {
  const auto refused = [](const std::function<void(json&)>& spoil, std::initializer_list<std::string> parts) {
    Cluster cluster = load((kFolder / "h100.json").string());
    cluster.fits = some_fits();
    json document = json::parse(to_json(cluster));
    spoil(document["fits"]);
    test::expect_input_error([&] { parse(document.dump(), "my.json"); }, parts);
  };
  refused([](json& fits) { fits = 7; }, {"my.json", "fits", "7"});
  for (const char* const name : {"links.in_nodes", "links.fabric", "kernels.pack", "gemm[1]"})
    refused([&](json& fits) { fits[name] = fits["gemm[0]"]; }, {"my.json", "fits", name});
  refused([](json& fits) { fits["gemm[0]"].erase("gbs"); }, {"fits.gemm[0]", "gbs"});
  refused([](json& fits) { fits["gemm[0]"]["r2"] = 1; }, {"fits.gemm[0]", "r2"});
  refused([](json& fits) { fits["links.in_node"]["r_squared"] = 1.5; }, {"fits.links.in_node.r_squared", "1.5"});
  refused([](json& fits) { fits["links.in_node"]["r_squared"] = "good"; }, {"r_squared", "good"});
  refused([](json& fits) { fits["links.in_node"]["fixed_us"]["low"] = 0.35; }, {"fixed_us.low", "0.35"});
  refused([](json& fits) { fits["links.in_node"]["fixed_us"]["low"] = 0; }, {"fixed_us.low", "0"});
  refused([](json& fits) { fits["links.in_node"]["fixed_us"]["high"] = 0.31; }, {"fixed_us.high", "0.31"});
  refused([](json& fits) { fits["gemm[0]"]["worst_residual"] = 0.25; }, {"fits.gemm[0].worst_residual", "0.25"});
  refused([](json& fits) { fits["gemm[0]"]["samples"] = json::array(); }, {"fits.gemm[0].samples"});
  refused([](json& fits) { fits["gemm[0]"]["samples"][1]["size"] = 7; }, {"samples[1].size", "7"});
  refused([](json& fits) { fits["gemm[0]"]["samples"][1]["us"] = 0; }, {"samples[1].us", "0"});
  refused([](json& fits) { fits["gemm[0]"]["samples"][1]["residual"] = nullptr; }, {"samples[1].residual", "null"});
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
