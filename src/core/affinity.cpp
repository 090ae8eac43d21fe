#include "core/affinity.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <sched.h>
#include <unistd.h>

#include <fmt/format.h>

namespace ep::core {

namespace {

cpu_set_t affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) CPU_ZERO(&set);
  return set;
}

}  // namespace

CoreWait::CoreWait(pid_t thread)
    : file_(open(fmt::format("/proc/self/task/{}/schedstat", thread).c_str(), O_RDONLY | O_CLOEXEC)) {}

void CoreWait::FilePolicy::close(Handle file) noexcept {
  ::close(file);
}

std::optional<double> CoreWait::us() const {
  std::array<char, 96> text{};  // "ran waited slices", the times in ns
  const ssize_t size = file_ ? pread(file_.get(), text.data(), text.size() - 1, 0) : 0;
  if (size <= 0) return std::nullopt;
  char* rest = nullptr;
  const std::uint64_t ran_ns = std::strtoull(text.data(), &rest, 10);
  if (ran_ns == 0) return std::nullopt;  // kernels that do not count say 0
  return static_cast<double>(std::strtoull(rest, nullptr, 10)) * 1e-3;
}

int core_count() {
  const cpu_set_t set = affinity();
  return std::max(1, CPU_COUNT(&set));
}

std::string core_list() {
  const cpu_set_t set = affinity();
  std::string list;
  for (std::size_t core = 0; core < CPU_SETSIZE; ++core) {
    if (!CPU_ISSET(core, &set)) continue;
    std::size_t last = core;
    while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, &set)) ++last;
    list += fmt::format("{}{}", list.empty() ? "" : ",", core);
    if (last > core) list += fmt::format("-{}", last);
    core = last;
  }
  return list;
}

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(std::min(line.size(), line.find(':') + 2));
  }
  return "unknown CPU";
}

}  // namespace ep::core
