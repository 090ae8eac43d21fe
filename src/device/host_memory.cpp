#include "device/host_memory.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

namespace ep::device {
namespace {

constexpr std::int64_t kUnlimited = std::numeric_limits<std::int64_t>::max();

/// Names of a version's files: a limit, what is used, and what of that is cache that goes when memory is short.
struct MemoryFiles {
  const char* limit;
  const char* usage;
  const char* reclaimable;
};
constexpr MemoryFiles kVersion1{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"};
constexpr MemoryFiles kVersion2{"memory.max", "memory.current", "inactive_file"};

/// A file of one number; nothing when it is absent or a word ("max").
std::optional<std::int64_t> number_in(const std::string& path) {
  std::ifstream file(path);
  std::int64_t value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

/// The number after `key` in a file of lines "key value".
std::optional<std::int64_t> value_of(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (line.size() > key.size() && line.compare(0, key.size(), key) == 0 && line[key.size()] == ' ')
      return std::strtoll(line.c_str() + key.size(), nullptr, 10);
  }
  return std::nullopt;
}

std::int64_t available_in_group(const std::string& folder, const MemoryFiles& files) {
  const auto limit = number_in(folder + "/" + files.limit);
  const auto usage = number_in(folder + "/" + files.usage);
  if (!limit || !usage) return kUnlimited;
  const std::int64_t reclaimable = value_of(folder + "/memory.stat", files.reclaimable).value_or(0);
  return std::max<std::int64_t>(0, *limit - *usage + std::min(reclaimable, *usage));
}

/// The least over a group and the groups above it.
std::int64_t available_in_groups(const std::string& root, std::string group, const MemoryFiles& files) {
  std::int64_t least = available_in_group(root, files);
  while (group.size() > 1) {
    least = std::min(least, available_in_group(root + group, files));
    group.resize(group.rfind('/'));
  }
  return least;
}

}  // namespace

std::int64_t available_host_bytes(const std::string& proc, const std::string& cgroup) {
  const auto free_kib = value_of(proc + "/meminfo", "MemAvailable:");
  std::int64_t least = free_kib ? *free_kib * 1024 : kUnlimited;
  std::ifstream groups(proc + "/self/cgroup");  // lines "hierarchy:controllers:/path"
  std::string line;
  while (std::getline(groups, line)) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos || line[second + 1] != '/') continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) least = std::min(least, available_in_groups(cgroup, path, kVersion2));
    if (controllers == "memory") least = std::min(least, available_in_groups(cgroup + "/memory", path, kVersion1));
  }
  return least;
}

}  // namespace ep::device
