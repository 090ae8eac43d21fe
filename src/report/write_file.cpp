#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <unistd.h>

#include "core/error.hpp"
#include "report/report.hpp"

namespace ep::report {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& path, int error) {
  throw core::InputError("output", "file", path, "cannot be written: " + std::generic_category().message(error));
}

/// Returns 0 or the errno of what went wrong.
int write_to(std::FILE* file, const std::string& content) {
  errno = 0;
  const bool whole = std::fwrite(content.data(), 1, content.size(), file) == content.size() && std::fflush(file) == 0;
  return whole ? 0 : errno;
}

int write_new(const fs::path& path, const std::string& content) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return errno;
  const int error = write_to(file, content);
  return std::fclose(file) != 0 && error == 0 ? errno : error;
}

/// Where the bytes end up: a symbolic link is followed, since rename would replace the link itself.
fs::path target_of(const std::string& path) {
  std::error_code ignored;
  const fs::path target = fs::weakly_canonical(path, ignored);
  return target.empty() ? fs::path(path) : target;
}

/// Pipes and devices exist already and must stay what they are.
bool is_special(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  return fs::exists(status) && !fs::is_regular_file(status);
}

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

}  // namespace

void write_file(const std::string& path, const std::string& content) {
  if (path == "-") {
    if (const int error = write_to(stdout, content); error != 0) fail(path, error);
    return;
  }
  const fs::path target = target_of(path);
  if (is_special(target)) {
    if (const int error = write_new(target, content); error != 0) fail(path, error);
    return;
  }
  const fs::path partial = fmt::format("{}.{}.part", target.string(), ::getpid());
  int error = write_new(partial, content);
  if (error == 0 && std::rename(partial.c_str(), target.c_str()) != 0) error = errno;
  if (error == 0) return;
  std::remove(partial.c_str());
  fail(path, error);
}

void require_writable(const std::string& path) {
  if (path == "-") return;
  const fs::path target = target_of(path);
  std::error_code ignored;
  if (path.empty()) fail(path, ENOENT);
  if (fs::is_directory(target, ignored)) fail(path, EISDIR);
  const fs::path checked = is_special(target) ? target : folder_of(target);
  if (fs::is_regular_file(checked, ignored)) fail(path, ENOTDIR);
  if (::access(checked.c_str(), W_OK) != 0) fail(path, errno);
}

}  // namespace ep::report
