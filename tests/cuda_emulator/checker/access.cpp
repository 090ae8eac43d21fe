// Bounds, alignment, address space and initialisation of single accesses.
#include <algorithm>

#include <fmt/format.h>

#include "cuda_emulator/checker/checker.hpp"
#include "cuda_emulator/kernel/block.hpp"
#include "cuda_emulator/kernel/symbols.hpp"
#include "cuda_emulator/runtime/config.hpp"
#include "cuda_emulator/runtime/engine.hpp"
#include "cuda_emulator/runtime/report.hpp"

// Of the linker: where read-only data starts and ends, and the program's writable data.
extern "C" const char __executable_start;
extern "C" const char __data_start;
extern "C" const char _end;

namespace ep::emulator {
namespace {

// Set while this thread's access is checked: what the checker itself touches is not.
thread_local bool inside_checker = false;

std::string_view verb(Access kind) {
  switch (kind) {
    case Access::read:
      return "reads";
    case Access::write:
      return "writes";
    default:
      return "atomically updates";
  }
}

template <class T>
bool lies_in(const char* address, const T& object) {
  const auto* first = reinterpret_cast<const char*>(&object);
  return address >= first && address < first + sizeof(T);
}

bool is_builtin(const char* address) {
  return lies_in(address, threadIdx) || lies_in(address, blockIdx) || lies_in(address, blockDim) ||
         lies_in(address, gridDim);
}

std::string accessor() {
  return BlockRunner::get().in_kernel() ? BlockRunner::get().who() : "host code";
}

}  // namespace

void Checker::on_access(const void* address, std::size_t bytes, Access kind) {
  if (!enabled_ || inside_checker) return;
  const bool in_memory = Memory::get().contains(address);
  const bool in_kernel = Engine::get().on_engine_thread() && BlockRunner::get().in_user_code();
  // Host code may touch what it likes outside emulated memory. And the emulator may be here itself, through a template
  // that it shares with instrumented code.
  if (!in_kernel && (!in_memory || Guard::held())) return;
  const auto* first = static_cast<const char*>(address);
  inside_checker = true;
  if (!in_memory) {
    check_kernel(first, bytes, kind);
  } else if (in_kernel) {
    check_memory(first, bytes, kind);
  } else {
    const Guard guard;
    check_memory(first, bytes, kind);
  }
  inside_checker = false;
  if (in_kernel) preempt();
}

void Checker::on_release(const void* address, std::size_t bytes) {
  if (!enabled_ || inside_checker || !Memory::get().contains(address) || Guard::held()) return;
  const Guard guard;
  inside_checker = true;
  check_memory(static_cast<const char*>(address), bytes, Access::atomic);
  inside_checker = false;
  released_[address] = Engine::get().release();
}

void Checker::on_acquire(const void* address, std::size_t bytes) {
  if (!enabled_) return;
  if (const auto found = released_.find(address); found != released_.end()) Engine::get().learn(found->second);
  on_range(address, bytes, Access::atomic);
}

void Checker::preempt() {
  static Random random = seeded_random(4, 0);
  const std::uint32_t every = config().preempt_every;
  if (every != 0 && random.one_in(every)) BlockRunner::get().yield();
}

void Checker::check_memory(const char* address, std::size_t bytes, Access kind) {
  static Allocation* latest = nullptr;
  Memory& memory = Memory::get();
  const bool same =
      latest != nullptr && latest->live && address >= latest->data && address < latest->data + latest->bytes;
  if (!same) latest = memory.find(address);
  const bool in_kernel = BlockRunner::get().in_kernel();
  if (latest == nullptr || !latest->live) {
    fail(latest != nullptr ? "use-after-free" : "bad-pointer",
         fmt::format("{} {} {} bytes at {}, in no live allocation", accessor(), verb(kind), bytes,
                     static_cast<const void*>(address)));
  }
  const auto place = [&] {
    return fmt::format("{} {} {} bytes at offset {} of allocation #{} ({} bytes)", accessor(), verb(kind), bytes,
                       address - latest->data, latest->id, latest->bytes);
  };
  const bool on_host = !Engine::get().on_engine_thread();
  if (on_host && latest->kind != MemoryKind::pinned) fail("host-touches-device", place());
  if (address < latest->data || address + bytes > latest->data + latest->bytes) fail("out-of-bounds", place());
  if (in_kernel && reinterpret_cast<std::uintptr_t>(address) % bytes != 0) fail("misaligned", place());
  if (in_kernel && kind != Access::write) check_read_initialised(cell(address), bytes, address);
  touch(cell(address), address, bytes, kind);
}

void Checker::check_read_initialised(Cell* cells, std::size_t bytes, const char* address) {
  if (!config().check_initialised || std::all_of(cells, cells + bytes, initialised)) return;
  report("uninitialised", fmt::format("{} reads {}, which nothing has written", accessor(), where(address)));
  for (Cell* each = cells; each != cells + bytes; ++each) {
    if (!initialised(*each)) each->writer = kPast;
  }
}

void Checker::require_initialised(const void* address, std::size_t bytes, std::string_view what) {
  if (!enabled_ || !config().check_initialised || !Memory::get().contains(address)) return;
  const auto* first = static_cast<const char*>(address);
  const Cell* cells = cell(first);
  const Cell* unwritten = std::find_if_not(cells, static_cast<const Cell*>(cells + bytes), initialised);
  if (unwritten == cells + bytes) return;
  report("uninitialised",
         fmt::format("{} reads {}, which nothing has written", what, where(first + (unwritten - cells))));
}

bool Checker::check_shared(const char* address, std::size_t bytes, Access kind) {
  const BlockRunner& block = BlockRunner::get();
  const auto visit = [&](Cell* cells) {
    if (kind != Access::write) check_read_initialised(cells, bytes, address);
    touch(cells, address, bytes, kind);
  };
  const char* dynamic = block.dynamic_shared();
  if (block.near_dynamic_shared(address)) {
    const auto offset = address - dynamic;
    const auto end = static_cast<std::ptrdiff_t>(block.dynamic_shared_bytes());
    const auto place = [&] {
      return fmt::format("{} {} {} bytes at offset {} of {} bytes of dynamic shared memory", accessor(), verb(kind),
                         bytes, offset, end);
    };
    if (offset < 0 || offset + static_cast<std::ptrdiff_t>(bytes) > end) fail("out-of-bounds", place());
    if (reinterpret_cast<std::uintptr_t>(address) % bytes != 0) fail("misaligned", place());
    visit(&dynamic_shared_[static_cast<std::size_t>(offset)]);
    return true;
  }
  std::size_t base = 0;
  for (const SharedVariable& variable : shared_variables()) {
    if (address >= variable.data && address + bytes <= variable.data + variable.bytes) {
      visit(&static_shared_[base + static_cast<std::size_t>(address - variable.data)]);
      return true;
    }
    base += variable.bytes;
  }
  return false;
}

void Checker::check_kernel(const char* address, std::size_t bytes, Access kind) {
  const BlockRunner& block = BlockRunner::get();
  if (block.in_own_stack(address) || is_builtin(address) || check_shared(address, bytes, kind)) return;
  if (block.in_stacks(address))
    fail("bad-pointer", fmt::format("{} touches another thread's local memory", block.who()));
  const bool constant = address >= &__executable_start && address < &__data_start;
  if (kind == Access::read && (constant || block.is_argument(address))) return;
  const bool global = address >= &__data_start && address < &_end;
  fail("bad-pointer", fmt::format("{} {} {} bytes of the host's {} at {}", block.who(), verb(kind), bytes,
                                  global ? "global data" : "memory", static_cast<const void*>(address)));
}

void Checker::begin_block() {
  if (!enabled_) return;
  lane_contexts_.fill(0);
  dynamic_shared_.assign(BlockRunner::get().dynamic_shared_bytes(), {});
  std::size_t bytes = 0;
  for (const SharedVariable& variable : shared_variables()) bytes += variable.bytes;
  static_shared_.assign(bytes, {});
}

}  // namespace ep::emulator
