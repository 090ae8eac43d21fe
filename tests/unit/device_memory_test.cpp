#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <unistd.h>

#include <gtest/gtest.h>

#include "device/host_memory.hpp"

namespace ep::device {
namespace {

namespace fs = std::filesystem;

/// A made-up /proc and /sys/fs/cgroup.
class HostMemory : public testing::Test {
 protected:
  void TearDown() override { fs::remove_all(root_); }
  void write(const std::string& path, const std::string& text) const {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  [[nodiscard]] std::int64_t available() const {
    return available_host_bytes((root_ / "proc").string(), (root_ / "cgroup").string());
  }

  fs::path root_ = fs::temp_directory_path() / ("epbench-memory-" + std::to_string(getpid()));
};

TEST_F(HostMemory, NothingToReadLimitsNothing) {
  EXPECT_EQ(available(), std::numeric_limits<std::int64_t>::max());
}

TEST_F(HostMemory, WithoutAControlGroupIsMemAvailable) {
  write("proc/meminfo", "MemTotal:  9000 kB\nMemAvailable:   5000 kB\nBuffers: 1 kB\n");
  EXPECT_EQ(available(), 5000 * 1024);
}

TEST_F(HostMemory, TheGroupsLimitCountsLessWhatCannotBeDropped) {
  write("proc/meminfo", "MemAvailable: 5000 kB\n");
  write("proc/self/cgroup", "0::/job/step\n");
  write("cgroup/job/step/memory.max", "2000000\n");
  write("cgroup/job/step/memory.current", "700000\n");
  write("cgroup/job/step/memory.stat", "anon 1\ninactive_file_x 9\ninactive_file 200000\n");
  EXPECT_EQ(available(), 2000000 - 700000 + 200000);
}

TEST_F(HostMemory, AGroupAboveMayBeTighter) {
  write("proc/self/cgroup", "0::/job/step\n");
  write("cgroup/job/step/memory.max", "max\n");
  write("cgroup/job/step/memory.current", "10\n");
  write("cgroup/job/memory.max", "1000\n");
  write("cgroup/job/memory.current", "400\n");
  EXPECT_EQ(available(), 600);
}

TEST_F(HostMemory, VersionOneGroupsCountToo) {
  write("proc/self/cgroup", "4:memory:/job\n3:cpuset:/other\n");
  write("cgroup/memory/job/memory.limit_in_bytes", "9000\n");
  write("cgroup/memory/job/memory.usage_in_bytes", "9500\n");
  write("cgroup/memory/job/memory.stat", "inactive_file 5\ntotal_inactive_file 100\n");
  EXPECT_EQ(available(), 0) << "over its limit already";
  write("cgroup/memory/job/memory.usage_in_bytes", "8000\n");
  EXPECT_EQ(available(), 9000 - 8000 + 100);
}

}  // namespace
}  // namespace ep::device
