#include "nccl/communicator.hpp"

#include <exception>
#include <thread>
#include <utility>

#include "core/clock.hpp"

namespace ep::nccl {
namespace {

ncclConfig_t to_nccl(const Config& config) {
  ncclConfig_t made = NCCL_CONFIG_INITIALIZER;
  made.blocking = 0;
  if (config.ctas > 0) made.minCTAs = made.maxCTAs = config.ctas;
  return made;
}

/// Waits while NCCL is at it; ncclInProgress when the time is up.
ncclResult_t wait(ncclComm_t comm, double timeout_s) {
  const double until_us = core::now_us() + timeout_s * 1e6;
  ncclResult_t state = ncclInProgress;
  while (state == ncclInProgress && core::now_us() < until_us) {
    if (const ncclResult_t error = ncclCommGetAsyncError(comm, &state); error != ncclSuccess) return error;
    if (state == ncclInProgress) std::this_thread::yield();
  }
  return state;
}

}  // namespace

void check_nccl(ncclResult_t code, core::SourceLocation where) {
  if (code == ncclSuccess) return;
  throw core::Error(core::ExitCode::communication,
                    fmt::format("NCCL: {} ({}:{})", ncclGetErrorString(code), where.file_name(), where.line()));
}

ncclUniqueId make_unique_id() {
  ncclUniqueId id{};
  check_nccl(ncclGetUniqueId(&id));
  return id;
}

std::string version() {
  int code = 0;
  check_nccl(ncclGetVersion(&code));
  return fmt::format("{}.{}.{}", code / 10000, code / 100 % 100, code % 100);
}

Communicator::Communicator(ncclComm_t comm, Config config)
    : comm_(comm), config_(std::move(config)), uncaught_(std::uncaught_exceptions()) {}

Communicator::Communicator(const ncclUniqueId& id, int ranks, int rank, const Config& config)
    : Communicator(nullptr, config) {
  ncclConfig_t made = to_nccl(config);
  const ncclResult_t result = ncclCommInitRankConfig(&comm_, ranks, id, rank, &made);
  settle(result, "connecting the ranks");
}

Communicator::Communicator(Communicator&& other) noexcept
    : comm_(std::exchange(other.comm_, nullptr)), config_(std::move(other.config_)), uncaught_(other.uncaught_) {}

Communicator::~Communicator() {
  if (comm_ == nullptr) return;
  if (std::uncaught_exceptions() != uncaught_) {
    abort();
    return;
  }
  ncclResult_t state = ncclCommFinalize(comm_);
  if (state == ncclInProgress) state = wait(comm_, config_.timeout_s);
  if (state != ncclSuccess) {
    abort();
    return;
  }
  ncclCommDestroy(std::exchange(comm_, nullptr));
}

Communicator Communicator::split(int color, int key) {
  ncclConfig_t made = to_nccl(config_);
  ncclComm_t part = nullptr;
  const ncclResult_t result = ncclCommSplit(comm_, color, key, &part, &made);
  settle(result, "splitting the communicator");  // sets `part`
  Communicator made_of_part(part, config_);
  made_of_part.settle(ncclInProgress, "connecting the ranks of a split");
  return made_of_part;
}

void Communicator::settle(ncclResult_t result, std::string_view operation) {
  const ncclResult_t state = result == ncclInProgress && comm_ != nullptr ? wait(comm_, config_.timeout_s) : result;
  if (state != ncclSuccess) fail(state, operation);
}

void Communicator::poll(std::string_view operation) {
  if (comm_ == nullptr) return;
  ncclResult_t state = ncclSuccess;
  const ncclResult_t asked = ncclCommGetAsyncError(comm_, &state);
  if (asked != ncclSuccess) state = asked;
  if (state != ncclSuccess && state != ncclInProgress) fail(state, operation);
}

void* Communicator::register_memory(void* memory, std::size_t bytes) {
  void* registration = nullptr;
  settle(ncclCommRegister(comm_, memory, bytes, &registration), "registering a buffer");
  return registration;
}

void Communicator::deregister(void* registration) noexcept {
  if (comm_ != nullptr && registration != nullptr) ncclCommDeregister(comm_, registration);
}

void Communicator::abort() noexcept {
  if (comm_ == nullptr) return;
  if (config_.end_graphs) config_.end_graphs();
  ncclCommAbort(std::exchange(comm_, nullptr));
}

void Communicator::fail(ncclResult_t error, std::string_view operation) {
  const bool late = error == ncclInProgress;
  std::string message = fmt::format("NCCL: {}: ", operation);
  message += late ? fmt::format("no end after {} s", config_.timeout_s) : ncclGetErrorString(error);
  if (const char* const last = ncclGetLastError(comm_); !late && last != nullptr && *last != '\0')
    message += fmt::format(" ({})", last);
  abort();
  throw core::Error(late ? core::ExitCode::timeout : core::ExitCode::communication, message);
}

void* allocate(std::size_t bytes) {
  void* memory = nullptr;
  if (ncclMemAlloc(&memory, bytes) != ncclSuccess)
    throw core::Error(core::ExitCode::communication,
                      fmt::format("NCCL: cannot allocate {} bytes of device memory", bytes));
  return memory;
}

void release(void* memory) noexcept {
  ncclMemFree(memory);
}

}  // namespace ep::nccl
