#include "core/affinity.hpp"

#include <algorithm>
#include <fstream>
#include <sched.h>

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

std::optional<double> waited_for_core_us(pid_t thread) {
  std::ifstream file(fmt::format("/proc/self/task/{}/schedstat", thread));
  double ran_ns = 0;
  double waited_ns = 0;
  if (!(file >> ran_ns >> waited_ns) || ran_ns == 0) return std::nullopt;  // kernels that do not count say 0
  return waited_ns * 1e-3;
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
