#include "cost/route_cost.hpp"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/random.hpp"
#include "placement/placement.hpp"
#include "tests/unit/expect_input_error.hpp"
#include "tests/unit/make_routing.hpp"

namespace ep::cost {
namespace {

using routing::kMasked;
using routing::Routing;
using test::expect_input_error;

/// {"token_assignments": …} of two tokens and three experts, with one field replaced or added.
std::string text_with(const std::string& field, const std::string& value) {
  std::string text;
  bool known = false;
  const std::pair<std::string, std::string> fields[] = {{"token_assignments", "[[0, 1], [2, 2, 0]]"},
                                                        {"expert_to_gpu", R"({"0": 0, "1": 1, "2": 1})"},
                                                        {"token_to_gpu", "[0, 1]"},
                                                        {"token_hidden_bytes", "1000"},
                                                        {"bandwidth_gbps", "100"}};
  for (const auto& [name, usual] : fields) {
    text += (text.empty() ? "{\"" : ", \"") + name + "\": " + (name == field ? value : usual);
    known |= name == field;
  }
  if (!known && !field.empty()) text += ", \"" + field + "\": " + value;
  return text + "}";
}

RouteCost price(const std::string& text) {
  return route_cost(parse_route_cost(text, "in.json"), "in.json");
}

void expect_rejected(const std::string& field, const std::string& value, std::initializer_list<std::string> parts) {
  SCOPED_TRACE(field + " = " + value);
  expect_input_error([&] { price(text_with(field, value)); }, {"in.json"});
  expect_input_error([&] { price(text_with(field, value)); }, parts);
}

TEST(RouteCost, WorkedByHand) {
  // Token 0 on device 0: expert 0 local, 1 remote. Token 1 on device 1: 2 local, 2 again local, 0 remote.
  const RouteCost cost = price(text_with("", ""));
  EXPECT_EQ(cost.local_tokens, 3);
  EXPECT_EQ(cost.remote_tokens, 2);
  EXPECT_EQ(cost.total_remote_bytes, 2000);
  EXPECT_EQ(cost.comm_time_ms, 0.0002);  // 2000 B / 12.5e9 B/s = 0.00016 ms
  EXPECT_EQ(to_json(cost),
            R"({"local_tokens": 3, "remote_tokens": 2, "total_remote_bytes": 2000, "comm_time_ms": 0.0002})");
}

TEST(RouteCost, ExpertsAsListOrObject) {
  EXPECT_EQ(to_json(price(text_with("expert_to_gpu", "[0, 1, 1]"))), to_json(price(text_with("", ""))));
  // Numbers of experts and devices mean nothing beyond being equal or not.
  const RouteCost cost = price(
      R"({"token_assignments": [[9000000000, 7], []], "expert_to_gpu": {"7": 5, "9000000000": 123456789012},
          "token_to_gpu": [123456789012, 5], "token_hidden_bytes": 1, "bandwidth_gbps": 0.5})");
  EXPECT_EQ(cost.local_tokens, 1);
  EXPECT_EQ(cost.remote_tokens, 1);
}

TEST(RouteCost, NothingRoutedCostsNothing) {
  const RouteCost cost = price(
      R"({"token_assignments": [], "expert_to_gpu": {}, "token_to_gpu": [], "token_hidden_bytes": 0,
          "bandwidth_gbps": 1})");
  EXPECT_EQ(to_json(cost), R"({"local_tokens": 0, "remote_tokens": 0, "total_remote_bytes": 0, "comm_time_ms": 0.0})");
}

TEST(RouteCost, BytesUpTo63Bits) {
  const std::string half = "4611686018427387903";  // 2^62 - 1, and two copies travel
  EXPECT_EQ(price(text_with("token_hidden_bytes", half)).total_remote_bytes, 9223372036854775806);
  expect_rejected("token_hidden_bytes", "4611686018427387904", {"token_hidden_bytes = 4611686018427387904", "63 bits"});
}

TEST(RouteCost, RejectsBadValues) {
  for (const char* value : {"0", "-1", "-0.0", "true", "\"100\"", "null", "[100]", "NaN", "Infinity", "1e999"}) {
    expect_rejected("bandwidth_gbps", value, {"bandwidth_gbps"});
  }
  expect_rejected("bandwidth_gbps", "5e-324", {"bandwidth_gbps", "time"});
  for (const char* value : {"-1", "1.0", "true", "\"1\"", "null", "9223372036854775808", "1e3"}) {
    expect_rejected("token_hidden_bytes", value, {"token_hidden_bytes"});
  }
  expect_rejected("token_to_gpu", "[0]", {"token_to_gpu", "1 entries", "2 tokens"});
  expect_rejected("token_to_gpu", "[0, 1, 0]", {"token_to_gpu", "3 entries"});
  expect_rejected("token_to_gpu", "[0, -1]", {"token_to_gpu[1]", "-1"});
  expect_rejected("token_to_gpu", "[0, 0.5]", {"token_to_gpu[1]", "0.5"});
  expect_rejected("token_to_gpu", R"({"0": 0, "1": 1})", {"token_to_gpu", "an object"});
  expect_rejected("token_assignments", "[[0], [3]]", {"token_assignments[1]", "3"});
  expect_rejected("token_assignments", "[[0], [-1]]", {"token_assignments[1]", "-1"});
  expect_rejected("token_assignments", "[[0], [0.0]]", {"token_assignments[1]", "0.0"});
  expect_rejected("token_assignments", "[[0], [true]]", {"token_assignments[1]", "true"});
  expect_rejected("token_assignments", "[[0], 1]", {"token_assignments[1]", "1"});
  expect_rejected("token_assignments", "[[0], [[1]]]", {"token_assignments[1]", "a list"});
  expect_rejected("token_assignments", "null", {"token_assignments", "null"});
  expect_rejected("expert_to_gpu", R"({"0": 0, "1": 1, "1": 0})", {"expert_to_gpu", "\"1\"", "twice"});
  expect_rejected("expert_to_gpu", R"({"a": 0})", {"expert_to_gpu", "\"a\""});
  expect_rejected("expert_to_gpu", R"({"0": -1})", {"expert_to_gpu[0]", "-1"});
  expect_rejected("expert_to_gpu", R"({"0": "0"})", {"expert_to_gpu[0]"});
  expect_rejected("expert_to_gpu", "0", {"expert_to_gpu"});
  expect_rejected("bandwidth", "3", {"unknown field", "bandwidth"});
}

TEST(RouteCost, RejectsWhatIsNoObject) {
  for (const char* text : {"", " ", "[]", "3", "{", "{}", "not json", "{\"token_assignments\": []}"}) {
    SCOPED_TRACE(text);
    expect_input_error([&] { price(text); }, {"in.json"});
  }
}

TEST(RouteCost, LibraryCallersAreCheckedToo) {
  RouteCostInput input{{{0, 2}, {0, 1}}, {0, 1}, {0}, 8, 1};
  EXPECT_EQ(route_cost(input).remote_tokens, 1);
  input.token_assignments.experts[1] = 2;
  expect_input_error([&] { route_cost(input); }, {"token_assignments", "2"});
  input.token_assignments.experts[1] = -1;
  expect_input_error([&] { route_cost(input); }, {"token_assignments", "-1"});
  input.token_assignments = {{0, 3}, {0, 1}};
  expect_input_error([&] { route_cost(input); }, {"offsets"});
  input.token_assignments = {{0, 2}, {0, 1}};
  input.bandwidth_gbps = std::numeric_limits<double>::quiet_NaN();
  expect_input_error([&] { route_cost(input); }, {"bandwidth_gbps", "nan"});
  input.bandwidth_gbps = std::numeric_limits<double>::infinity();
  expect_input_error([&] { route_cost(input); }, {"bandwidth_gbps", "inf"});
  input.bandwidth_gbps = 1;
  input.token_hidden_bytes = -8;
  expect_input_error([&] { route_cost(input); }, {"token_hidden_bytes", "-8"});
}

TEST(RouteCostOfLayer, AgreesWithTheRaggedFormAndSkipsMaskedSlots) {
  for (int ranks = 1; ranks <= 9; ++ranks) {
    for (const std::int64_t tokens : {0, 1, 4, 100}) {
      const auto placement = placement::make_placement("round-robin", 11, ranks);
      Routing routing = test::make_routing(tokens, 3, 11);
      RouteCostInput ragged;
      ragged.token_hidden_bytes = 512;
      ragged.bandwidth_gbps = 3;
      for (const std::int32_t rank : placement.expert_ranks()) ragged.expert_to_gpu.push_back(rank);
      core::Random random(5, static_cast<std::uint64_t>(tokens));
      for (std::int64_t token = 0; token < tokens; ++token) {
        for (int k = 0; k < 3; ++k) {
          const auto id = static_cast<std::int32_t>(random.below(12)) - 1;
          routing.expert_ids.push_back(id);
          if (id != kMasked) ragged.token_assignments.experts.push_back(id);
        }
        ragged.token_assignments.first.push_back(static_cast<std::int64_t>(ragged.token_assignments.experts.size()));
        ragged.token_to_gpu.push_back(routing::rank_of_token(token, tokens, ranks));
      }
      EXPECT_EQ(to_json(route_cost(routing, placement.expert_ranks(), ranks, 512, 3)), to_json(route_cost(ragged)));
    }
  }
}

TEST(RouteCostOfLayer, RejectsDisagreement) {
  const Routing routing = test::make_routing(1, 2, 2, {0, 1});
  const auto price_with = [](const Routing& layer, const std::vector<std::int32_t>& experts, int ranks) {
    return [=] { route_cost(layer, experts, ranks, 8, 1); };
  };
  EXPECT_NO_THROW(price_with(routing, {0, 0}, 1)());
  expect_input_error(price_with(routing, {0}, 1), {"expert_rank", "1 entries", "2 experts"});
  expect_input_error(price_with(routing, {0, 0}, 0), {"ranks", "0"});
  Routing bad = routing;
  bad.expert_ids[1] = 2;
  expect_input_error(price_with(bad, {0, 0}, 1), {"expert_ids[1]", "2"});
  bad.expert_ids[1] = -2;
  expect_input_error(price_with(bad, {0, 0}, 1), {"expert_ids[1]", "-2"});
}

// Expected values are what CPython 3.11 prints for round(value, 4).
TEST(Round4, IsPythonsRound) {
  EXPECT_EQ(python_repr(round4(0.00005)), "0.0001");  // the double is above the tie
  EXPECT_EQ(python_repr(round4(0.00015)), "0.0001");  // and this one below
  EXPECT_EQ(python_repr(round4(0.00025)), "0.0003");  // above again
  EXPECT_EQ(python_repr(round4(0.03125)), "0.0312");  // exact ties go to the even digit
  EXPECT_EQ(python_repr(round4(0.09375)), "0.0938");
  EXPECT_EQ(python_repr(round4(2.675)), "2.675");
  EXPECT_EQ(python_repr(round4(0.99995)), "1.0");
  EXPECT_EQ(python_repr(round4(0)), "0.0");
  EXPECT_EQ(python_repr(round4(4.9e-324)), "0.0");
  EXPECT_EQ(python_repr(round4(123456789.123456789)), "123456789.1235");
  EXPECT_EQ(python_repr(round4(9007199254740993.0)), "9007199254740992.0");
  EXPECT_EQ(python_repr(round4(1e16)), "1e+16");
  EXPECT_EQ(python_repr(round4(1.7976931348623157e308)), "1.7976931348623157e+308");
}

}  // namespace
}  // namespace ep::cost
