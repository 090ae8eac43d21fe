#include <gtest/gtest.h>

#include "routing_support.hpp"

namespace ep::routing {
namespace {

using testing::expect_input_error;
using testing::TemporaryFile;

Routing load_lines(std::string_view content, std::int64_t tokens = 0, int topk = 0, int experts = 0) {
  const TemporaryFile file(content, ".jsonl");
  return load(file.path(), tokens, topk, experts, 1);
}

TEST(Jsonl, ShorterListsArePadded) {
  const auto routing = load_lines("[3, 1]\n[]\n[0]\n[2,-1]\n");
  EXPECT_EQ(routing.tokens, 4);
  EXPECT_EQ(routing.topk, 2);
  EXPECT_EQ(routing.experts, 4);
  EXPECT_THAT(routing.expert_ids, ::testing::ElementsAre(3, 1, -1, -1, 0, -1, 2, -1));
  EXPECT_EQ(routing.valid_copies(), 4);
}

TEST(Jsonl, GateWeightsOfATokenSumToOneOverItsValidSlots) {
  const auto routing = load_lines("[3, -1, 1]\n[]\n[0]\n", 0, 0, 8);
  EXPECT_GT(routing.gate_weights[0], routing.gate_weights[2]);
  EXPECT_NEAR(routing.gate_weights[0] + routing.gate_weights[2], 1.0F, 1e-6F);
  EXPECT_EQ(routing.gate_weights[1], 0.0F);
  EXPECT_THAT(std::vector(routing.gate_weights.begin() + 3, routing.gate_weights.end()),
              ::testing::ElementsAre(0, 0, 0, 1, 0, 0));
}

TEST(Jsonl, LastLineNeedsNoEndAndLinesMayEndInCarriageReturns) {
  EXPECT_THAT(load_lines("[0,1]\r\n[2,3]").expert_ids, ::testing::ElementsAre(0, 1, 2, 3));
}

TEST(Jsonl, OptionsPadAndCut) {
  const auto routing = load_lines("[0,1]\n[2]\nnot read", 2, 3, 16);
  EXPECT_EQ(routing.topk, 3);
  EXPECT_EQ(routing.experts, 16);
  EXPECT_THAT(routing.expert_ids, ::testing::ElementsAre(0, 1, -1, 2, -1, -1));
}

TEST(Jsonl, BadLinesAreRefusedByNumberAndValue) {
  struct BadLine {
    std::string content;
    std::vector<std::string> message;
  };
  const std::string deep(100000, '[');
  const std::vector<BadLine> cases = {
      {"", {"tokens = 0", "no tokens"}},
      {"[0]\n\n[1]\n", {"line 2 = :", "JSON list"}},
      {"[0]\n[1\n", {"line 2 = [1:", "JSON list"}},
      {"[0] [1]\n", {"line 1 = [0] [1]"}},
      {"[0]\n{\"experts\": [1]}\n", {"line 2 = {\"experts\": [1]}"}},
      {"[0]\n[[1]]\n", {"line 2 = [[1]]"}},
      {"[0]\n" + deep, {"line 2 = [[[[", "..."}},
      {"7\n", {"line 1 = 7"}},
      {"[0]\n[\"1\"]\n", {"line 2, entry 1 = \"1\"", "whole number"}},
      {"[0]\n[1, 2.0]\n", {"line 2, entry 2 = 2.0", "whole number"}},
      {"[null]\n", {"line 1, entry 1 = null"}},
      {"[true]\n", {"line 1, entry 1 = true"}},
      {"[-2]\n", {"line 1, entry 1 = -2"}},
      {"[1048576]\n", {"line 1, entry 1 = 1048576", "0 to 1048575"}},
      {"[18446744073709551615]\n", {"line 1, entry 1 = 18446744073709551615"}},
      {"[99999999999999999999]\n", {"line 1, entry 1 = 1e+20"}},
      {"[1e999]\n", {"line 1 = [1e999]"}},
      {"[0]\n\xff\xfe\n", {"line 2 = ??"}},
      {"[0, 1]\n[5, 2, 5]\n", {"line 2, entry 3 = 5", "twice"}},
      {"[]\n[]\n", {"topk = 0"}},
      {"[-1]\n", {"experts = 0"}},
  };
  for (const auto& bad : cases) {
    SCOPED_TRACE(bad.content.substr(0, 40));
    auto message = bad.message;
    message.emplace_back(".jsonl: ");
    expect_input_error([&] { load_lines(bad.content); }, message);
  }
}

TEST(Jsonl, OptionsAreCheckedAgainstTheFile) {
  expect_input_error([] { load_lines("[0]\n[1,2,3]\n", 0, 2); }, {"line 2 = 3 ids", "at most 2"});
  expect_input_error([] { load_lines("[0]\n[1,2,3]\n", 3); }, {"tokens = 2", "3 asked for"});
  expect_input_error([] { load_lines("[0]\n[1,8]\n", 0, 0, 8); }, {"line 2, entry 2 = 8", "0 to 7"});
}

}  // namespace
}  // namespace ep::routing
