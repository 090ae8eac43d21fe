#include "bench/provenance.hpp"

#include <sched.h>
#include <sys/utsname.h>

#include <chrono>
#include <fstream>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "bench/version.hpp"

namespace ep::bench {

namespace {

std::string first_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

/// The cores this process may run on, as a list of ranges: "0-3,8".
std::string cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return "unknown";
  std::string list;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (!CPU_ISSET(core, &set)) continue;
    int last = core;
    while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, &set)) ++last;
    list += fmt::format("{}{}", list.empty() ? "" : ",", core);
    if (last > core) list += fmt::format("-{}", last);
    core = last;
  }
  return list;
}

}  // namespace

measure::Values provenance(const mpi::Communicator& communicator, const Job& job,
                           const std::vector<std::string>& hosts, const std::vector<std::string>& arguments) {
  utsname system{};
  uname(&system);
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  return {{"version", std::string(kVersion)},
          {"revision", std::string(kRevision)},
          {"compiler", std::string(kCompiler)},
          {"build_type", std::string(kBuildType)},
          {"date", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(now))},
          {"cpu", cpu_model()},
          {"kernel", fmt::format("{} {}", system.sysname, system.release)},
          {"mpi", mpi::library_version()},
          {"tcp_congestion_control", first_line("/proc/sys/net/ipv4/tcp_congestion_control")},
          {"ranks", std::int64_t{communicator.size()}},
          {"nodes", std::int64_t{job.topology.nodes}},
          {"hosts", fmt::format("{}", fmt::join(hosts, " "))},
          {"binding", fmt::format("{}", fmt::join(communicator.gather_all(cores()), " "))},
          {"routing", job.routing.source},
          {"routing_hash", fmt::format("{:016x}", routing::hash(job.routing))},
          {"arguments", fmt::format("{}", fmt::join(arguments, " "))}};
}

}  // namespace ep::bench
