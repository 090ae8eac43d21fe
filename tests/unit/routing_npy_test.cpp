#include <gtest/gtest.h>

#include "routing_support.hpp"

namespace ep::routing {
namespace {

using testing::expect_input_error;
using testing::TemporaryFile;

std::string little_endian(std::uint64_t value, std::size_t bytes) {
  std::string result;
  for (std::size_t i = 0; i < bytes; ++i) result += static_cast<char>(value >> (8 * i) & 0xff);
  return result;
}

std::string npy(const std::string& header, const std::string& data, int version = 1) {
  return "\x93NUMPY" + std::string{static_cast<char>(version), '\0'} +
         little_endian(header.size(), version == 1 ? 2 : 4) + header + data;
}

std::string dictionary(const std::string& descr, const std::string& order, const std::string& shape) {
  return "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }   \n";
}

/// `ids` as elements of the type `descr`.
std::string encode(const std::vector<std::int64_t>& ids, const std::string& descr) {
  std::string data;
  for (const auto id : ids) {
    auto element = little_endian(static_cast<std::uint64_t>(id), static_cast<std::size_t>(descr[2] - '0'));
    if (descr[0] == '>') std::reverse(element.begin(), element.end());
    data += element;
  }
  return data;
}

Routing load_bytes(const std::string& content, const std::string& layer = "", std::int64_t tokens = 0, int topk = 0,
                   int experts = 0) {
  const TemporaryFile file(content, ".npy");
  return load(file.path() + layer, tokens, topk, experts, 1);
}

class NpyType : public ::testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Routing, NpyType,
                         ::testing::Values("|u1", "|i1", "<u1", ">i1", "<i2", ">i2", "<u2", ">u2", "<i4", ">i4", "<u4",
                                           ">u4", "<i8", ">i8", "<u8", ">u8"),
                         [](const auto& type) {
                           return std::string(type.param[0] == '>' ? "big_" : "little_") + type.param[1] +
                                  type.param[2] + (type.param[0] == '|' ? "_any" : "");
                         });

TEST_P(NpyType, IsRead) {
  const bool wide = GetParam()[2] != '1';
  const std::int64_t large = wide ? 300 : 100;
  const auto routing =
      load_bytes(npy(dictionary(GetParam(), "False", "(3, 2)"), encode({0, 1, 2, 3, large, 5}, GetParam())));
  EXPECT_EQ(routing.tokens, 3);
  EXPECT_EQ(routing.topk, 2);
  EXPECT_EQ(routing.experts, large + 1);
  EXPECT_THAT(routing.expert_ids, ::testing::ElementsAre(0, 1, 2, 3, large, 5));
}

TEST_P(NpyType, MinusOneIsAMaskedSlotOnlyWhereItIsMinusOne) {
  const auto content = npy(dictionary(GetParam(), "False", "(1, 2)"), encode({0, -1}, GetParam()));
  if (GetParam()[1] == 'i') {
    EXPECT_THAT(load_bytes(content, "", 0, 0, 8).expert_ids, ::testing::ElementsAre(0, kMasked));
  } else {
    expect_input_error([&] { load_bytes(content, "", 0, 0, 8); }, {"element [token 0, slot 1] = "});
  }
}

TEST(Npy, EveryVersionOfTheFormatIsRead) {
  const auto header = dictionary("|u1", "False", "(1, 2)");
  for (const int version : {1, 2, 3}) {
    EXPECT_THAT(load_bytes(npy(header, {"\x03\x01", 2}, version)).expert_ids, ::testing::ElementsAre(3, 1));
  }
}

TEST(Npy, HeaderMayBeWrittenInOtherWaysThanNumPyDoes) {
  for (const auto* header : {"{'shape':(1,2),'fortran_order':False,'descr':'|u1'}",
                             "{ \"descr\" : \"|u1\",\n\"fortran_order\" : False , \"shape\" : ( 1 , 2 , ) , }\n"}) {
    EXPECT_THAT(load_bytes(npy(header, {"\x03\x01", 2})).expert_ids, ::testing::ElementsAre(3, 1)) << header;
  }
}

TEST(Npy, FortranOrderIsTheTransposeOfTheBytes) {
  const auto header = dictionary("|u1", "True", "(2, 3)");
  EXPECT_THAT(load_bytes(npy(header, {"\0\3\1\4\2\5", 6})).expert_ids, ::testing::ElementsAre(0, 1, 2, 3, 4, 5));
}

TEST(Npy, LayersAreChosenInBothOrders) {
  std::vector<std::int64_t> c_order;
  std::vector<std::int64_t> fortran_order(24);
  for (int layer = 0; layer < 2; ++layer)
    for (int token = 0; token < 3; ++token)
      for (int slot = 0; slot < 4; ++slot) {
        const int id = layer * 100 + token * 10 + slot;
        c_order.push_back(id);
        fortran_order[static_cast<std::size_t>(layer + 2 * (token + 3 * slot))] = id;
      }
  const auto c = npy(dictionary("<i2", "False", "(2, 3, 4)"), encode(c_order, "<i2"));
  const auto fortran = npy(dictionary("<i2", "True", "(2, 3, 4)"), encode(fortran_order, "<i2"));
  for (const auto& content : {c, fortran}) {
    EXPECT_THAT(load_bytes(content, ":0", 2).expert_ids, ::testing::ElementsAre(0, 1, 2, 3, 10, 11, 12, 13));
    EXPECT_THAT(load_bytes(content, ":1", 1).expert_ids, ::testing::ElementsAre(100, 101, 102, 103));
  }
}

TEST(Npy, OptionsSayWhatTheFileMustHave) {
  const auto content = npy(dictionary("|u1", "False", "(3, 2)"), {"\0\1\2\3\4\5", 6});
  const auto routing = load_bytes(content, "", 2, 2, 64);
  EXPECT_EQ(routing.experts, 64);
  EXPECT_EQ(routing.tokens, 2);
  EXPECT_NO_THROW(check(routing));
  EXPECT_EQ(routing.gate_weights.size(), 4U);
  expect_input_error([&] { load_bytes(content, "", 4); }, {"tokens = 3", "4 asked for"});
  expect_input_error([&] { load_bytes(content, "", 0, 3); }, {"topk = 2", "3 is asked for"});
  expect_input_error([&] { load_bytes(content, "", 0, 0, 5); }, {"element [token 2, slot 1] = 5", "0 to 4"});
  expect_input_error([&] { load_bytes(content, "", -1); }, {"tokens = -1"});
  expect_input_error([&] { load_bytes(content, "", 0, -2); }, {"topk = -2"});
  expect_input_error([&] { load_bytes(content, "", 0, 0, -3); }, {"experts = -3"});
  expect_input_error([&] { load_bytes(content, ":0"); }, {"shape = [3, 2]", "no layers"});
}

struct BadFile {
  std::string content;
  std::string layer;
  std::vector<std::string> message;
};

void expect_refused(const std::vector<BadFile>& cases) {
  for (const auto& bad : cases) {
    SCOPED_TRACE(::testing::PrintToString(bad.message));
    auto message = bad.message;
    message.emplace_back(".npy: ");  // the path
    expect_input_error([&] { load_bytes(bad.content, bad.layer); }, message);
  }
}

TEST(Npy, BadHeadersAreRefused) {
  const auto type = [](const std::string& descr) { return npy(dictionary(descr, "False", "(1, 2)"), "01234567"); };
  const auto header = [](const std::string& text) { return npy(text, "ab"); };
  const std::string order = "{'descr': '|u1', 'fortran_order': False, ";
  expect_refused({
      {"", "", {"first bytes = ", "not a NumPy"}},
      {"PK\x03\x04 a zip archive", "", {"first bytes = PK?? a zip archive", "not a NumPy"}},
      {"\x93NUMPY\x01", "", {"file size = 7 bytes"}},
      {npy("{}", "ab", 4), "", {"format version = 4"}},
      {std::string("\x93NUMPY\x01\0\xff\xff{}", 12), "", {"header length = 65535", "12 bytes"}},
      {std::string("\x93NUMPY\x02\0\xff\xff\xff\xff{}", 14), "", {"header length = 4294967295", "14 bytes"}},
      {type("<f4"), "", {"dtype = <f4", "integer"}},
      {type("|O"), "", {"dtype = |O", "integer"}},
      {type("|b1"), "", {"dtype = |b1", "integer"}},
      {type("<i3"), "", {"dtype = <i3", "integer"}},
      {type("|i4"), "", {"dtype = |i4", "integer"}},
      {type("<U2"), "", {"dtype = <U2", "integer"}},
      {header("{'descr': [('a', '<i4')], 'shape': (1, 2)}"), "", {"= [('a', '<i4')]", "integer"}},
      {header("{'descr': '|u1', 'shape': (1, 2)}"), "", {"NumPy header = (end)", "descr, fortran_order and shape"}},
      {header("{'descr': '|u1', 'fortran_order': 0, 'shape': (1, 2)}"), "", {"NumPy header = 0,", "True or False"}},
      {header(order + "'shape': (1, 2), 'descr': '|u1'}"), "", {"= 'descr'", "once"}},
      {header(order + "'shape': (1, 2), 'x': 1}"), "", {"= 'x': 1", "each once"}},
      {header(order + "'shape': (1, 2)} + 1"), "", {"= + 1", "nothing after"}},
      {header("{'descr': '|u1"), "", {"closing quote"}},
      {header("__import__('os').system('true')"), "", {"NumPy header = __import__", "wanted '{'"}},
      {header("\x1b[31m"), "", {"NumPy header = ?[31m"}},
      {header(""), "", {"NumPy header = (end)"}},
  });
}

TEST(Npy, BadShapesAndDataAreRefused) {
  const auto u1 = [](const std::string& shape, const std::string& data) {
    return npy(dictionary("|u1", "False", shape), data);
  };
  const auto one = [](const std::string& descr, std::int64_t id) {
    return npy(dictionary(descr, "False", "(1, 1)"), encode({id}, descr));
  };
  expect_refused({
      {u1("(2, 2)", "abc"), "", {"data = 3 bytes", "truncated", "[2, 2]", "wants 4"}},
      {u1("(2, 2)", "abcde"), "", {"data = 5 bytes", "too long"}},
      {u1("(4294967296, 4294967296)", "a"), "", {"shape = [4294967296, 4294967296]", "64 bits"}},
      {u1("(9223372036854775807, 2)", "a"), "", {"truncated", "9223372036854775807"}},
      {u1("(9223372036854775808, 2)", "a"), "", {"NumPy header = 9223372036854775808", "below 2^63"}},
      {u1("(9223372036854775807, 0)", ""), "", {"topk = 0"}},
      {u1("(-1, 2)", "ab"), "", {"NumPy header = -1, 2)", "whole numbers"}},
      {u1("(1.0, 2)", "ab"), "", {"NumPy header = .0, 2)"}},
      {u1("(1, 2", "ab"), "", {"NumPy header = }"}},
      {u1("1", "a"), "", {"NumPy header = 1", "wanted '('"}},
      {u1("()", "a"), "", {"shape = []", "wanted [tokens, topk]"}},
      {u1("(2,)", "ab"), "", {"shape = [2]", "wanted [tokens, topk]"}},
      {u1("(1, 1, 1, 2)", "ab"), "", {"shape = [1, 1, 1, 2]"}},
      {u1("(0, 2)", ""), "", {"tokens = 0", "no tokens"}},
      {u1("(2, 0)", ""), "", {"topk = 0"}},
      {u1("(3, 1, 2)", "abcdef"), "", {"shape = [3, 1, 2]", "3 layers", ".npy:LAYER"}},
      {u1("(3, 1, 2)", "abcdef"), ":3", {"layer = 3", "0 to 2"}},
      {u1("(1, 2)", "aa"), "", {"element [token 0, slot 1] = 97", "twice"}},
      {one("<i4", -2), "", {"element [token 0, slot 0] = -2"}},
      {one("<i4", 1 << 30), "", {"slot 0] = 1073741824"}},
      {one("<u8", -1), "", {"slot 0] = 18446744073709551615"}},
      {one("|i1", -1), "", {"experts = 0"}},
  });
}

TEST(Npy, TheLayerMustBeAWholeNumber) {
  const auto content = npy(dictionary("|u1", "False", "(3, 1, 2)"), "abcdef");
  for (const std::string layer : {"", "-1", "two", "1.5", "0x1", "9223372036854775808"}) {
    expect_input_error([&] { load_bytes(content, ":" + layer); }, {"FILE.npy:LAYER = " + layer, "whole number"});
  }
}

TEST(Npy, EveryTruncationOfAFileIsRefused) {
  const auto whole = npy(dictionary("<i4", "False", "(2, 2)"), encode({0, 1, 2, 3}, "<i4"));
  for (std::size_t length = 0; length < whole.size(); ++length) {
    EXPECT_THROW(load_bytes(whole.substr(0, length)), core::InputError) << length << " bytes";
  }
}

TEST(Npy, AWrongByteGivesAValidRoutingOrAnInputError) {
  const auto whole = npy(dictionary("<i2", "False", "(2, 2)"), encode({0, 1, 2, 3}, "<i2"));
  int accepted = 0;
  int refused = 0;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const char wrong : {'\0', '\xff', '9', '\'', ')', '-'}) {
      auto content = whole;
      content[at] = wrong;
      try {
        const auto routing = load_bytes(content);
        ++accepted;
        EXPECT_NO_THROW(check(routing)) << "byte " << at;
      } catch (const core::InputError&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(accepted, 0);
  EXPECT_GT(refused, accepted);
}

TEST(Load, UnreadablePathsAreNamed) {
  expect_input_error([] { load("/nonexistent/a.npy", 0, 0, 0, 1); }, {"/nonexistent/a.npy", "file"});
  expect_input_error([] { load("/nonexistent/a.jsonl", 0, 0, 0, 1); }, {"/nonexistent/a.jsonl", "file"});
  expect_input_error([] { load("uniform", 0, 0, 0, 1); }, {"--routing = uniform", "FILE.npy"});
}

TEST(Load, FilesAreToldFromGeneratorsByTheirNames) {
  for (const auto* spec : {"a.npy", "a.npy:3", "/b/c.d/a.npy:x", "a.jsonl", ".npy"}) EXPECT_TRUE(is_file(spec)) << spec;
  for (const auto* spec : {"uniform", "zipf:1", "a.json", "a.npz", "a.npy.gz", "npy", ""}) {
    EXPECT_FALSE(is_file(spec)) << spec;
  }
}

}  // namespace
}  // namespace ep::routing
