#include "bench/provenance.hpp"

#include <chrono>
#include <fstream>
#include <sys/utsname.h>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "bench/version.hpp"
#include "core/affinity.hpp"
#include "mpi/topology.hpp"

namespace ep::bench {

namespace {

std::string first_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

}  // namespace

measure::Values provenance(const mpi::Communicator& communicator, const Job& job, const std::vector<std::string>& hosts,
                           const std::vector<std::string>& arguments) {
  utsname system{};
  uname(&system);
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  return {{"version", std::string(kVersion)},
          {"revision", std::string(kRevision)},
          {"compiler", std::string(kCompiler)},
          {"build_type", std::string(kBuildType)},
          {"date", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(now))},
          {"cpu", core::cpu_model()},
          {"kernel", fmt::format("{} {}", system.sysname, system.release)},
          {"mpi", mpi::library_version()},
          {"tcp_congestion_control", first_line("/proc/sys/net/ipv4/tcp_congestion_control")},
          {"ranks", std::int64_t{communicator.size()}},
          {"nodes", std::int64_t{job.topology.nodes}},
          {"hosts", fmt::format("{}", fmt::join(hosts, " "))},
          {"binding", fmt::format("{}", fmt::join(communicator.gather_all(core::core_list()), " "))},
          {"routing", job.routing.source},
          {"routing_hash", fmt::format("{:016x}", routing::hash(job.routing))},
          {"arguments", fmt::format("{}", fmt::join(arguments, " "))}};
}

}  // namespace ep::bench
