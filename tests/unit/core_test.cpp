#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <limits>
#include <sched.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/affinity.hpp"
#include "core/dtype.hpp"
#include "core/error.hpp"
#include "core/hash.hpp"
#include "core/json.hpp"
#include "core/matrix.hpp"
#include "core/parse.hpp"
#include "core/random.hpp"
#include "core/unique_handle.hpp"
#include "tests/unit/expect_input_error.hpp"

namespace ep::core {
namespace {

using test::expect_input_error;

/// Two threads on one core: each waits while the other computes.
TEST(WaitedForCore, GrowsWhereThreadsShareACore) {
  if (!CoreWait(gettid()).us()) GTEST_SKIP() << "this kernel does not count it";
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<std::size_t>(sched_getcpu()), &one);
  std::atomic<bool> stop{false};
  std::atomic<pid_t> first{0};
  const auto compute = [&](bool tells) {
    sched_setaffinity(0, sizeof one, &one);
    if (tells) first = gettid();
    while (!stop) {
    }
  };
  std::thread a(compute, true);
  std::thread b(compute, false);
  while (first == 0) std::this_thread::yield();
  const CoreWait wait(first);
  double waited_us = 0;
  for (int ms = 0; ms < 20000 && waited_us < 5e3; ++ms) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    waited_us = wait.us().value_or(0);
  }
  stop = true;
  a.join();
  b.join();
  EXPECT_GE(waited_us, 5e3);
  EXPECT_FALSE(wait.us());  // gone
  EXPECT_FALSE(CoreWait(first).us());
}

TEST(Parse, SizesTakePowersOf1024) {
  EXPECT_EQ(parse_size("0", "n"), 0);
  EXPECT_EQ(parse_size("17", "n"), 17);
  EXPECT_EQ(parse_size("4K", "n"), 4096);
  EXPECT_EQ(parse_size("3m", "n"), 3 << 20);
  EXPECT_EQ(parse_size("2G", "n"), std::int64_t{2} << 30);
  EXPECT_EQ(parse_size("9223372036854775807", "n"), std::numeric_limits<std::int64_t>::max());
}

TEST(Parse, RefusesWhatIsNoSize) {
  for (const char* word :
       {"", "-1", "+1", "1.5", "1KB", " 1", "1 ", "K", "0x10", "9223372036854775808", "9000000000G"}) {
    expect_input_error([&] { parse_size(word, "--hidden"); }, {"--hidden"});
  }
}

TEST(Parse, Numbers) {
  EXPECT_EQ(parse_number("0.25", "x"), 0.25);
  EXPECT_EQ(parse_number("-1e3", "x"), -1000);
  for (const char* word : {"", "nan", "inf", "1e999", "1,5", "1x", " 1"}) {
    expect_input_error([&] { parse_number(word, "--x"); }, {"--x", word});
  }
}

TEST(Parse, ProductsAreCheckedAtTheLimit) {
  EXPECT_EQ(checked_product(std::int64_t{1} << 31, std::int64_t{1} << 31, "x"), std::int64_t{1} << 62);
  expect_input_error([] { checked_product(std::int64_t{1} << 32, std::int64_t{1} << 31, "buffer"); }, {"buffer"});
}

TEST(ReadFile, ReadsUpToTheLimitAndNoFurther) {
  const std::string path = testing::TempDir() + "core_test_read_file";
  const std::string content(100'000, 'x');
  std::ofstream(path) << content;
  EXPECT_EQ(read_file(path, 100'000), content);
  expect_input_error([&] { read_file(path, 99'999); }, {path, "too large"});
  expect_input_error([] { read_file("/dev/zero", 1 << 20); }, {"/dev/zero", "too large"});
  expect_input_error([&] { read_file(path + ".absent", 10); }, {path + ".absent"});
  expect_input_error([] { read_file(testing::TempDir(), 10); }, {"reading failed"});
  EXPECT_EQ(input_name("-"), "standard input");
  EXPECT_EQ(input_name("a.json"), "a.json");
}

TEST(Json, RefusesWhatTheGrammarLetsThrough) {
  EXPECT_EQ(parse_json(" {\"a\": [1, {\"a\": 2}]} ", "f").at("a").at(0), 1);
  expect_input_error([] { parse_json(R"({"a": 1, "b": 2, "a": 1})", "in.json"); }, {"in.json", "\"a\"", "twice"});
  expect_input_error([] { parse_json(R"({"outer": {"0": 1, "0": 1}})", "in.json"); }, {"outer", "\"0\"", "twice"});
  expect_input_error([] { parse_json(std::string("{}\0{", 4), "in.json"); }, {"in.json", "zero byte"});
  expect_input_error([] { parse_json(std::string(1'000'000, '['), "in.json"); }, {"in.json", "too deeply"});
  expect_input_error([] { parse_json(" \n", "in.json"); }, {"in.json", "empty"});
}

TEST(Json, SyntaxErrorsNameFieldAndPlace) {
  expect_input_error([] { parse_json("{\"bandwidth_gbps\": NaN}", "in.json"); }, {"in.json: bandwidth_gbps", "line 1"});
  expect_input_error([] { parse_json("{\"a\": 1e999}", "in.json"); }, {"in.json: a", "1e999"});
  expect_input_error([] { parse_json("{} {}", "in.json"); }, {"in.json", "line 1"});
  expect_input_error([] { parse_json("\"\xff\"", "in.json"); }, {"in.json", "line 1"});
}

TEST(Json, ValuesAreShownShort) {
  EXPECT_EQ(shown(parse_json("[1, 2]", "f")), "a list");
  EXPECT_EQ(shown(parse_json("{}", "f")), "an object");
  EXPECT_EQ(shown(parse_json("\"\\n\"", "f")), R"("\n")");
  EXPECT_LT(shown(nlohmann::json(std::string(1000, 'x'))).size(), 100U);
}

TEST(Json, TypesAreNotGuessed) {
  EXPECT_EQ(whole_number(parse_json("9223372036854775807", "f"), "f", "n"), std::numeric_limits<std::int64_t>::max());
  for (const char* text :
       {"-1", "1.0", "true", "\"1\"", "null", "[1]", "9223372036854775808", "99999999999999999999"}) {
    expect_input_error([&] { whole_number(parse_json(text, "f"), "in.json", "n"); }, {"in.json: n"});
  }
  EXPECT_EQ(positive_number(parse_json("100", "f"), "f", "x"), 100.0);
  for (const char* text : {"0", "-0.0", "-1", "true", "\"1\"", "null", "{}"}) {
    expect_input_error([&] { positive_number(parse_json(text, "f"), "in.json", "x"); }, {"in.json: x"});
  }
}

TEST(Json, FieldsAreExact) {
  const auto check = [](const char* text) { require_fields(parse_json(text, "f"), "in.json", "input", {"a", "b"}); };
  EXPECT_NO_THROW(check(R"({"b": 1, "a": 2})"));
  expect_input_error([&] { check(R"({"a": 1})"); }, {"in.json", "no field \"b\""});
  expect_input_error([&] { check(R"({"a": 1, "b": 1, "c": 1})"); }, {"unknown field \"c\""});
  expect_input_error([&] { check("[1, 2]"); }, {"a list", "a, b"});
}

TEST(Json, MapsFromObjectAndList) {
  const auto read = [](const char* text) { return whole_number_map(parse_json(text, "f"), "in.json", "m"); };
  EXPECT_THAT(read(R"({"7": 1, "10": 0})"), testing::UnorderedElementsAre(std::pair(7, 1), std::pair(10, 0)));
  EXPECT_THAT(read("[4, 5]"), testing::ElementsAre(std::pair(0, 4), std::pair(1, 5)));
  for (const char* text : {R"({"01": 0})", R"({"-1": 0})", R"({"a": 0})", R"({"": 0})", R"({"1.0": 0})", "[-1]", "3"}) {
    expect_input_error([&] { read(text); }, {"in.json: m"});
  }
}

TEST(DType, NamesSizesAndParsing) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::e4m3}) EXPECT_EQ(parse_dtype(name_of(dtype), "x"), dtype);
  EXPECT_EQ(size_of(DType::f32) + size_of(DType::bf16) + size_of(DType::e4m3), 7);
  expect_input_error([] { parse_dtype("float", "--dtype"); }, {"--dtype", "float"});
}

TEST(BFloat16, RoundsToNearestEven) {
  const auto through = [](float value) { return to_float(to_bfloat16(value)); };
  EXPECT_EQ(through(1.0F), 1.0F);
  EXPECT_EQ(through(1.0F + 0x1p-8F), 1.0F);               // tie, down to even
  EXPECT_EQ(through(1.0F + 0x3p-8F), 1.0F + 0x1p-6F);     // tie, up to even
  EXPECT_EQ(through(1.0F + 0x1.01p-8F), 1.0F + 0x1p-7F);  // just above a tie
  EXPECT_EQ(through(-0.0F), 0.0F);
  EXPECT_TRUE(std::signbit(through(-0.0F)));
  EXPECT_TRUE(std::isinf(through(std::numeric_limits<float>::max())));
  EXPECT_TRUE(std::isnan(through(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_TRUE(std::isnan(through(std::bit_cast<float>(0x7f800001U))));  // a NaN whose payload is all in the lower half
}

TEST(Hash, IsFnv1a) {
  EXPECT_EQ(Fnv1a{}.value(), 0xcbf29ce484222325ULL);
  Fnv1a hash;  // "foobar", from the vectors published with the algorithm
  for (const char letter : std::string("foobar")) hash.add(letter);
  EXPECT_EQ(hash.value(), 0x85944171f73967e8ULL);
  Fnv1a word;
  word.add(std::uint32_t{0x6f6f66});  // "foo\0", little-endian whatever the machine
  Fnv1a bytes;
  for (const char letter : {'f', 'o', 'o', '\0'}) bytes.add(letter);
  EXPECT_EQ(word.value(), bytes.value());
}

TEST(Random, MixIsSplitMix64) {
  // The first outputs of SplitMix64 seeded with 0, as its reference implementation prints them.
  EXPECT_EQ(mix64(0x9e3779b97f4a7c15ULL), 0xe220a8397b1dcdafULL);
  EXPECT_EQ(mix64(2 * 0x9e3779b97f4a7c15ULL), 0x6e789e6aa1b965f4ULL);
}

TEST(Random, StreamsAreReproducibleAndApart) {
  EXPECT_EQ(Random(1, 2).next(), Random(1, 2).next());
  EXPECT_NE(Random(1, 2).next(), Random(1, 3).next());
  EXPECT_NE(Random(1, 2).next(), Random(2, 2).next());
  EXPECT_NE(Random(1, 2).next(), Random(2, 1).next());
}

TEST(Random, StaysInRangeAndIsEven) {
  Random random(3, 4);
  int counts[7] = {};
  double sum = 0;
  constexpr int kDraws = 70'000;
  for (int i = 0; i < kDraws; ++i) {
    const double value = random.uniform();
    ASSERT_TRUE(value > 0 && value < 1);
    sum += value;
    ++counts[random.below(7)];
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 0.006);                           // 5 standard deviations
  for (const int count : counts) EXPECT_NEAR(count, 10'000, 500);  // 5 standard deviations
}

TEST(Matrix, RowsAndTranspose) {
  Matrix<int> matrix(2, 3);
  for (int i = 0; i < 6; ++i) matrix(i / 3, i % 3) = i;
  EXPECT_THAT(matrix.row(1), testing::ElementsAre(3, 4, 5));
  const auto turned = transpose(matrix);
  EXPECT_EQ(turned.rows(), 3);
  EXPECT_EQ(turned(2, 1), 5);
  EXPECT_EQ(transpose(turned), matrix);
}

struct CountingPolicy {
  using Handle = int;
  static Handle null() { return 0; }
  static void close(Handle handle) noexcept { closed += handle; }
  static inline int closed = 0;
};

TEST(UniqueHandle, ClosesExactlyOnce) {
  using Owner = UniqueHandle<CountingPolicy>;
  static_assert(!std::is_copy_constructible_v<Owner> && std::is_nothrow_move_constructible_v<Owner>);
  CountingPolicy::closed = 0;
  {
    Owner first(1);
    Owner second(std::move(first));
    EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move): moved-from is null by contract
    first = Owner(10);
    second = std::move(first);
    EXPECT_EQ(CountingPolicy::closed, 1);
    EXPECT_EQ(Owner(100).release(), 100);
    EXPECT_EQ(second.get(), 10);
  }
  EXPECT_EQ(CountingPolicy::closed, 11);
}

TEST(Error, CarriesItsExitCode) {
  EXPECT_EQ(Error(ExitCode::timeout, "x").code(), ExitCode::timeout);
  const InputError error("in.json", "topk", "9", "wanted 8 at most");
  EXPECT_EQ(error.code(), ExitCode::usage);
  EXPECT_STREQ(error.what(), "in.json: topk = 9: wanted 8 at most");
}

}  // namespace
}  // namespace ep::core
