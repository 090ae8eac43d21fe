#include "mpi/agreement.hpp"

#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace ep::mpi {
namespace {

/// Code and message of what `work` throws; ok and "" if nothing. The same on every rank, or the test has failed.
template <class Work>
std::pair<core::ExitCode, std::string> thrown_everywhere(const Communicator& world, Work work) {
  std::pair<core::ExitCode, std::string> thrown{core::ExitCode::ok, ""};
  try {
    work();
  } catch (const core::Error& error) {
    thrown = {error.code(), error.what()};
  }
  for (const std::string& message : world.gather_all(thrown.second)) EXPECT_EQ(message, thrown.second);
  return thrown;
}

class AgreementTest : public testing::Test {
 protected:
  Communicator world_ = Communicator::world();
  const int last_ = world_.size() - 1;
};

TEST_F(AgreementTest, EqualArgumentsPass) {
  agree(world_, {});
  const std::vector<Argument> arguments{{"--hidden", "4096"}, {"--routing", ""}};
  agree(world_, arguments);
}

TEST_F(AgreementTest, NamesTheFirstRankAndArgumentThatDiffer) {
  if (last_ == 0) GTEST_SKIP() << "one rank agrees with itself";
  std::vector<Argument> arguments{{"--tokens", "8"}, {"--hidden", "2048"}, {"--seed", "1"}};
  if (world_.rank() >= 1) {
    arguments[1].second = "4096";
    arguments[2].second = std::to_string(world_.rank());
  }
  const auto [code, message] = thrown_everywhere(world_, [&] { agree(world_, arguments); });
  EXPECT_EQ(code, core::ExitCode::usage);
  for (const char* part : {"rank 1", "--hidden = 4096", "2048"})
    EXPECT_NE(message.find(part), std::string::npos) << message;
  EXPECT_EQ(message.find("--seed"), std::string::npos) << message;
}

TEST_F(AgreementTest, OneArgumentMoreOrLessIsADifference) {
  if (last_ == 0) GTEST_SKIP() << "one rank agrees with itself";
  std::vector<Argument> arguments{{"--tokens", "8"}};
  const std::vector<Argument> longer{{"--tokens", "8"}, {"--check", "on"}};
  auto [code, message] = thrown_everywhere(world_, [&] { agree(world_, world_.rank() == last_ ? longer : arguments); });
  EXPECT_EQ(code, core::ExitCode::usage);
  EXPECT_NE(message.find("--check = on"), std::string::npos) << message;
  std::tie(code, message) =
      thrown_everywhere(world_, [&] { agree(world_, world_.rank() == last_ ? arguments : longer); });
  EXPECT_EQ(code, core::ExitCode::usage);
  EXPECT_NE(message.find("--check = nothing"), std::string::npos) << message;
}

TEST_F(AgreementTest, WordsDoNotRunIntoEachOther) {
  if (last_ == 0) GTEST_SKIP() << "one rank agrees with itself";
  const std::vector<Argument> one{{"ab", "c"}};
  const std::vector<Argument> other{{"a", "bc"}};
  EXPECT_THROW(agree(world_, world_.rank() == last_ ? other : one), SharedError);
}

TEST_F(AgreementTest, CollectivelySharesTheResultOfRankZero) {
  int calls = 0;
  const std::string bytes = collectively(world_, [&] {
    ++calls;
    return std::string("a\0b", 3);
  });
  EXPECT_EQ(bytes, std::string("a\0b", 3));
  EXPECT_EQ(calls, world_.rank() == 0 ? 1 : 0);
}

TEST_F(AgreementTest, CollectivelySharesTheErrorOfRankZero) {
  const auto [code, message] = thrown_everywhere(world_, [&] {
    collectively(world_, []() -> std::string { throw core::InputError("trace.npy", "shape", "(3,)", "wanted 2-D"); });
  });
  EXPECT_EQ(code, core::ExitCode::usage);
  EXPECT_EQ(message, "trace.npy: shape = (3,): wanted 2-D");
}

TEST_F(AgreementTest, OtherExceptionsGetAnExitCode) {
  const auto code_of = [&](const std::function<std::string()>& make) {
    return thrown_everywhere(world_, [&] { collectively(world_, make); }).first;
  };
  EXPECT_EQ(code_of([]() -> std::string { throw std::bad_alloc(); }), core::ExitCode::unsupported);
  EXPECT_EQ(code_of([]() -> std::string { throw std::logic_error("x"); }), core::ExitCode::internal);
}

TEST_F(AgreementTest, AllOrNoneThrowsTheLowestFailingRanksErrorEverywhere) {
  all_or_none(world_, [] {});
  const auto [code, message] = thrown_everywhere(world_, [&] {
    all_or_none(world_, [&] {
      if (world_.rank() == last_) throw core::Error(core::ExitCode::unsupported, "too little memory");
    });
  });
  EXPECT_EQ(code, core::ExitCode::unsupported);
  EXPECT_EQ(message, last_ == 0 ? "too little memory" : fmt::format("rank {}: too little memory", last_));
}

TEST_F(AgreementTest, AllOrNoneNamesNoRankWhenAllFailAlike) {
  const auto [code, message] =
      thrown_everywhere(world_, [&] { all_or_none(world_, [] { throw core::InputError("a", "b", "c", "d"); }); });
  EXPECT_EQ(code, core::ExitCode::usage);
  EXPECT_EQ(message, "a: b = c: d");
}

}  // namespace
}  // namespace ep::mpi
