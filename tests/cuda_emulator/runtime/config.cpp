#include "cuda_emulator/runtime/config.hpp"

#include <cstdlib>
#include <map>
#include <sstream>
#include <string_view>

#include <fmt/format.h>

#include "cuda_emulator/runtime/random.hpp"
#include "cuda_emulator/runtime/report.hpp"

namespace ep::emulator {
namespace {

std::string text(const char* name, const char* otherwise = "") {
  const char* value = std::getenv(name);
  return value != nullptr ? value : otherwise;
}

double number(const char* name, double otherwise) {
  const std::string value = text(name);
  if (value.empty()) return otherwise;
  char* end = nullptr;
  const double parsed = std::strtod(value.c_str(), &end);
  if (*end != '\0') fail("environment", fmt::format("{}={} is not a number", name, value));
  return parsed;
}

std::uint64_t count(const char* name) {
  return static_cast<std::uint64_t>(number(name, 0));
}

template <class Choice>
Choice choice(const char* name, const std::map<std::string_view, Choice>& choices, const char* otherwise) {
  const std::string value = text(name, otherwise);
  const auto found = choices.find(value);
  if (found == choices.end()) fail("environment", fmt::format("{}={} is not known", name, value));
  return found->second;
}

Faults read_faults() {
  Faults faults;
  faults.allocation = count("EP_EMU_FAIL_ALLOC");
  faults.launch = count("EP_EMU_FAIL_LAUNCH");
  faults.kernel = count("EP_EMU_FAIL_KERNEL");
  faults.nccl = count("EP_EMU_FAIL_NCCL");
  faults.nccl_transfer = count("EP_EMU_FAIL_NCCL_TRANSFER");
  faults.nccl_async = count("EP_EMU_FAIL_NCCL_ASYNC");
  faults.cublas = count("EP_EMU_FAIL_CUBLAS");
  faults.absent = count("EP_EMU_ABSENT");
  faults.rank = static_cast<int>(number("EP_EMU_FAULT_RANK", -1));
  return faults;
}

Config read_environment() {
  Config read;
  read.seed = static_cast<std::uint64_t>(number("EP_EMU_SEED", 1));
  read.threads = choice<ThreadOrder>("EP_EMU_THREADS",
                                     {{"mixed", ThreadOrder::mixed},
                                      {"sequential", ThreadOrder::sequential},
                                      {"reversed", ThreadOrder::reversed},
                                      {"random", ThreadOrder::random},
                                      {"warp", ThreadOrder::warp}},
                                     "mixed");
  read.streams = choice<StreamOrder>(
      "EP_EMU_STREAMS", {{"random", StreamOrder::random}, {"eager", StreamOrder::eager}, {"lazy", StreamOrder::lazy}},
      "random");
  read.keep_going = number("EP_EMU_KEEP_GOING", 0) != 0;
  read.check_initialised = number("EP_EMU_INITCHECK", 1) != 0;
  read.require_cublas_workspace = number("EP_EMU_CUBLAS_WORKSPACE", 1) != 0;
  read.cuda_aware_mpi = number("EP_EMU_CUDA_AWARE", 0) != 0;
  read.stream_wait_values = number("EP_EMU_STREAM_WAIT_VALUES", 1) != 0;
  read.expect_eager = number("EP_EMU_EXPECT_EAGER", 0) != 0;
  read.refuse_registration = number("EP_EMU_REFUSE_REGISTRATION", 0) != 0;
  read.refuse_grouped_gemm =
      choice<const char*>("EP_EMU_REFUSE_GROUPED_GEMM", {{"", ""}, {"fp32", "fp32"}, {"bf16", "bf16"}}, "");
  read.preempt_every = static_cast<std::uint32_t>(number("EP_EMU_PREEMPT", 0));
  read.in_progress_percent = static_cast<std::uint32_t>(number("EP_EMU_IN_PROGRESS", 50));
  read.nccl_version = static_cast<int>(number("EP_EMU_NCCL_VERSION", 0));
  read.device_count = static_cast<int>(number("EP_EMU_DEVICES", 8));
  read.device_bytes = static_cast<std::size_t>(number("EP_EMU_MEMORY_MB", 4096)) << 20;
  read.timeout_s = number("EP_EMU_TIMEOUT_S", 60);
  read.idle_ms = number("EP_EMU_IDLE_MS", 200);
  std::istringstream names(text("EP_EMU_UUIDS"));
  for (std::string name; std::getline(names, name, ',');) read.uuids.push_back(name);
  read.faults = read_faults();
  return read;
}

}  // namespace

Config& config() {
  static Config current = read_environment();
  return current;
}

void check_environment_of_cuda(const char* starter) {
  if (!config().expect_eager) return;
  if (text("CUDA_MODULE_LOADING") == "EAGER" && !text("CUDA_DEVICE_MAX_CONNECTIONS").empty()) return;
  fail("late-environment", fmt::format("{} starts CUDA, and the environment does not hold CUDA_MODULE_LOADING=EAGER "
                                       "and CUDA_DEVICE_MAX_CONNECTIONS yet",
                                       starter));
}

int launcher_rank() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"}) {
    if (const std::string value = text(name); !value.empty()) return std::atoi(value.c_str());
  }
  return 0;
}

bool fault_due(std::uint64_t which, std::uint64_t& calls) {
  if (which == 0) return false;
  const int rank = config().faults.rank;
  return ++calls == which && (rank < 0 || rank == launcher_rank());
}

Random seeded_random(std::uint64_t salt, std::uint64_t index) {
  Random mixer(config().seed);
  Random by_rank(mixer.next() + static_cast<std::uint64_t>(launcher_rank()));
  Random by_salt(by_rank.next() + salt);
  return Random(by_salt.next() + index);
}

}  // namespace ep::emulator
