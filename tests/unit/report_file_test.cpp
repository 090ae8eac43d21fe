#include <filesystem>
#include <fstream>
#include <sstream>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.hpp"
#include "report/report.hpp"

namespace ep::report {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class WriteFile : public testing::Test {
 protected:
  WriteFile() {
    std::string name = (fs::temp_directory_path() / "epbench-write-XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~WriteFile() override { fs::remove_all(folder_); }

  [[nodiscard]] std::string path(const std::string& name) const { return (folder_ / name).string(); }
  [[nodiscard]] std::size_t files() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

 private:
  fs::path folder_;
};

std::string content_of(const std::string& path) {
  std::ostringstream content;
  content << std::ifstream(path).rdbuf();
  return content.str();
}

template <class Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const core::InputError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST_F(WriteFile, ReplacesWhatWasThereAndLeavesNothingElse) {
  write_file(path("out.json"), "a long first version\n");
  write_file(path("out.json"), "second\n");
  EXPECT_EQ(content_of(path("out.json")), "second\n");
  EXPECT_EQ(files(), 1U);
}

TEST_F(WriteFile, FollowsALink) {
  write_file(path("real"), "old");
  fs::create_symlink(path("real"), path("link"));
  write_file(path("link"), "new");
  EXPECT_TRUE(fs::is_symlink(path("link")));
  EXPECT_EQ(content_of(path("real")), "new");
}

TEST_F(WriteFile, LeavesDevicesAlone) {
  write_file("/dev/null", "gone");
  struct stat status {};
  ASSERT_EQ(::stat("/dev/null", &status), 0);
  EXPECT_TRUE(S_ISCHR(status.st_mode));
}

TEST_F(WriteFile, FailureNamesThePathAndLeavesNothing) {
  EXPECT_THAT(message_of([&] { write_file(path("none/out.json"), "x"); }), HasSubstr("none/out.json"));
  fs::create_directory(path("folder"));
  EXPECT_THAT(message_of([&] { write_file(path("folder"), "x"); }), HasSubstr("folder"));
  EXPECT_EQ(files(), 1U);
  EXPECT_THAT(message_of([] { write_file("/dev/full", "x"); }), HasSubstr("/dev/full"));
}

TEST_F(WriteFile, DashIsStandardOutput) {
  testing::internal::CaptureStdout();
  write_file("-", "text");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "text");
  EXPECT_EQ(files(), 0U);
}

TEST_F(WriteFile, CanBeAskedBefore) {
  EXPECT_NO_THROW(require_writable("-"));
  EXPECT_NO_THROW(require_writable("new-file-in-this-folder"));
  EXPECT_NO_THROW(require_writable(path("out.json")));
  EXPECT_NO_THROW(require_writable("/dev/null"));
  EXPECT_EQ(files(), 0U);
  write_file(path("file"), "");
  for (const std::string& bad : {path("none/out.json"), path("."), path("file/out.json"), std::string()})
    EXPECT_THAT(message_of([&] { require_writable(bad); }), HasSubstr("cannot be written")) << bad;
}

}  // namespace
}  // namespace ep::report
