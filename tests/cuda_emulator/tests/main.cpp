#include <gtest/gtest.h>

#include "cuda_emulator/runtime/config.hpp"

namespace {

/// Tests change the emulator's configuration; the next one starts from the environment's again.
class RestoreConfig : public testing::EmptyTestEventListener {
  void OnTestEnd(const testing::TestInfo&) override { ep::emulator::config() = initial_; }
  ep::emulator::Config initial_ = ep::emulator::config();
};

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  // A fork of a process that has an engine thread would have none: start the program anew for each death test.
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  testing::UnitTest::GetInstance()->listeners().Append(new RestoreConfig);
  return RUN_ALL_TESTS();
}
