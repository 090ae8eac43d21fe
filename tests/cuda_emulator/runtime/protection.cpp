#include "cuda_emulator/runtime/protection.hpp"

#include <cstdint>
#include <initializer_list>
#include <signal.h>
#include <sys/mman.h>

#include <fmt/format.h>

#include "cuda_emulator/checker/checker.hpp"
#include "cuda_emulator/kernel/block.hpp"
#include "cuda_emulator/runtime/config.hpp"
#include "cuda_emulator/runtime/engine.hpp"
#include "cuda_emulator/runtime/memory.hpp"
#include "cuda_emulator/runtime/report.hpp"

namespace ep::emulator {
namespace {

constexpr int kNoKey = -1;
int key = kNoKey;

std::string position_in(const Allocation& allocation, const char* address) {
  return fmt::format("offset {} of allocation #{} ({} bytes)", address - allocation.data, allocation.id,
                     allocation.bytes);
}

[[noreturn]] void explain_kernel_fault(const char* address, const Allocation* allocation) {
  const BlockRunner& block = BlockRunner::get();
  if (block.in_stacks(address)) fail("stack-overflow", fmt::format("{} overflows its stack", block.who()));
  if (allocation != nullptr) {
    fail(allocation->live ? "out-of-bounds" : "use-after-free",
         fmt::format("{} touches {}", block.who(), position_in(*allocation, address)));
  }
  if (block.near_dynamic_shared(address)) {
    fail("out-of-bounds", fmt::format("{} leaves its dynamic shared memory", block.who()));
  }
  fail("bad-pointer", fmt::format("{} touches {}", block.who(), static_cast<const void*>(address)));
}

void on_fault(int signal, siginfo_t* info, void*) {
  Checker::get().disable();
  const auto* address = static_cast<const char*>(info->si_addr);
  const bool in_kernel = Engine::get().on_engine_thread() && BlockRunner::get().in_kernel();
  if (signal == SIGILL) {  // what -fsanitize-undefined-trap-on-error leaves of the sanitizer's message
    fail("undefined", fmt::format("{}: misaligned vector access, or array index out of bounds",
                                  in_kernel ? BlockRunner::get().who() : "host code"));
  }
  const Allocation* allocation = Memory::get().contains(address) ? Memory::get().find(address) : nullptr;
  if (in_kernel) explain_kernel_fault(address, allocation);
  if (allocation != nullptr && allocation->live && allocation->kind != MemoryKind::pinned) {
    fail("host-touches-device", fmt::format("host code touches {}", position_in(*allocation, address)));
  }
  if (allocation != nullptr) {
    fail(allocation->live ? "out-of-bounds" : "use-after-free",
         fmt::format("host code touches {}", position_in(*allocation, address)));
  }
  fail("segmentation-fault", fmt::format("address {}", static_cast<const void*>(address)));
}

}  // namespace

void prepare_host_protection() {
  if (!config().cuda_aware_mpi) key = pkey_alloc(0, PKEY_DISABLE_ACCESS);
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  for (const int signal : {SIGSEGV, SIGBUS, SIGILL}) sigaction(signal, &action, nullptr);
}

void prepare_engine_protection() {
  constexpr std::size_t kSignalStackBytes = 256 << 10;
  if (key != kNoKey) pkey_set(key, 0);
  stack_t stack{};
  stack.ss_sp = new char[kSignalStackBytes];
  stack.ss_size = kSignalStackBytes;
  sigaltstack(&stack, nullptr);
}

void open_pages(void* pages, std::size_t bytes, bool device) {
  constexpr int kRights = PROT_READ | PROT_WRITE;
  const int failed =
      device && key != kNoKey ? pkey_mprotect(pages, bytes, kRights, key) : mprotect(pages, bytes, kRights);
  if (failed != 0) fail("memory", "cannot open pages: the machine is out of memory or mappings");
}

DeviceAccess::DeviceAccess() {
  if (key == kNoKey) return;
  rights_before_ = pkey_get(key);
  pkey_set(key, 0);
}

DeviceAccess::~DeviceAccess() {
  if (key != kNoKey) pkey_set(key, static_cast<unsigned>(rights_before_));
}

bool device_memory_is_protected() {
  Engine::get();  // allocates the key
  return key != kNoKey;
}

}  // namespace ep::emulator
