// Contexts, cells and the happens-before relation.
#include <algorithm>
#include <sys/mman.h>

#include <fmt/format.h>

#include "cuda_emulator/checker/checker.hpp"
#include "cuda_emulator/kernel/block.hpp"
#include "cuda_emulator/kernel/symbols.hpp"
#include "cuda_emulator/runtime/engine.hpp"
#include "cuda_emulator/runtime/report.hpp"

namespace ep::emulator {

Checker& Checker::get() {
  static Checker& checker = *new Checker;
  return checker;
}

Checker::Checker() : names_{"host code"} {
  const Memory& memory = Memory::get();
  const auto bytes = static_cast<std::size_t>(memory.end() - memory.begin()) * sizeof(Cell);
  void* cells = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (cells == MAP_FAILED) fail("memory", "cannot reserve addresses for the checker");
  cells_ = static_cast<Cell*>(cells);
}

void Checker::forget(const Allocation& allocation) {
  if (!enabled_) return;
  constexpr std::uintptr_t kPage = 4096;
  const auto first = (reinterpret_cast<std::uintptr_t>(cell(allocation.pages)) + kPage - 1) / kPage * kPage;
  const auto last = reinterpret_cast<std::uintptr_t>(cell(allocation.pages + allocation.page_bytes)) / kPage * kPage;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

Checker::ContextId Checker::add_context(const Context& context) {
  contexts_.push_back(context);
  return first_id_ + static_cast<ContextId>(contexts_.size()) - 1;
}

void Checker::recycle_contexts() {
  // Nothing runs and the host knows it: all accesses so far are ordered before all later ones.
  constexpr std::size_t kMany = 1 << 20;
  constexpr ContextId kHigh = 1u << 29;
  if (contexts_.size() < kMany || !Engine::get().quiescent()) return;
  first_id_ += static_cast<ContextId>(contexts_.size());
  contexts_.clear();
  names_.resize(1);
  named_operation_ = 0;
  host_context_ = 0;
  if (first_id_ < kHigh) return;
  for (const auto& [start, allocation] : Memory::get().allocations()) {
    if (!allocation.live) continue;
    Cell* cells = cell(allocation.data);
    for (std::size_t i = 0; i < allocation.bytes; ++i) {
      if (cells[i].writer != 0) cells[i] = {kPast | (cells[i].writer & kUninitialised), 0, 0};
    }
  }
  first_id_ = 2;
}

std::uint32_t Checker::name_of_current() {
  const Operation& operation = *Engine::get().current();
  if (named_operation_ != operation.index) {
    named_operation_ = operation.index;
    names_.push_back(operation.task.name);
    operation_context_ = 0;
    lane_contexts_.fill(0);
  }
  return static_cast<std::uint32_t>(names_.size()) - 1;
}

Checker::ContextId Checker::context() {
  const Engine& engine = Engine::get();
  if (!engine.on_engine_thread() || engine.current() == nullptr) {
    if (host_context_ == 0 || host_position_ != engine.host_position()) {
      recycle_contexts();
      host_position_ = engine.host_position();
      host_context_ = add_context({0, host_position_, 0, -1, 0, 0, 0});
    }
    return host_context_;
  }
  const std::uint32_t name = name_of_current();
  if (BlockRunner::get().in_kernel()) return kernel_context();
  if (operation_context_ == 0) {
    const Operation& operation = *engine.current();
    operation_context_ =
        add_context({static_cast<std::uint32_t>(operation.stream->id), operation.position, 0, -1, 0, 0, name});
  }
  return operation_context_;
}

Checker::ContextId Checker::kernel_context() {
  const BlockRunner& block = BlockRunner::get();
  ContextId& id = lane_contexts_[static_cast<std::size_t>(block.thread())];
  if (id != 0) {
    const Context& known = contexts_[id - first_id_];
    if (known.barrier_epoch == block.barrier_epoch() && known.warp_epoch == block.warp_epoch()) return id;
  }
  const Operation& operation = *Engine::get().current();
  id = add_context({static_cast<std::uint32_t>(operation.stream->id), operation.position, block.block(), block.thread(),
                    block.barrier_epoch(), block.warp_epoch(), static_cast<std::uint32_t>(names_.size()) - 1});
  return id;
}

bool Checker::ordered(ContextId before, const Context& now) const {
  const ContextId id = before & kIdMask;
  if (id < first_id_) return true;  // nobody, or past
  const Context& earlier = contexts_[id - first_id_];
  if (earlier.stream == 0 && now.stream == 0) return true;  // host threads are not checked against one another
  if (earlier.stream == now.stream && earlier.position == now.position) {
    if (earlier.block != now.block) return false;
    constexpr int kWarpThreads = 32;
    const bool same_warp = earlier.thread / kWarpThreads == now.thread / kWarpThreads;
    return earlier.thread == now.thread || earlier.barrier_epoch != now.barrier_epoch ||
           (same_warp && earlier.warp_epoch < now.warp_epoch);
  }
  const Engine& engine = Engine::get();
  const VectorClock& clock = now.stream != 0 ? engine.current()->clock : engine.host_clock();
  return clock.size() > earlier.stream && clock[earlier.stream] >= earlier.position;
}

void Checker::touch(Cell* cells, const char* address, std::size_t bytes, Access kind) {
  const ContextId id = context();
  const bool atomic = kind == Access::atomic;
  const ContextId tag = atomic ? id | kAtomic : id;
  const Context now = contexts_[id - first_id_];
  Cell harmless;  // who was found to be ordered: neighbours mostly have the same past
  const auto conflicts = [&](ContextId other, ContextId& known) {
    if (other == known || (other & kIdMask) == id) return false;
    if (!ordered(other, now)) return true;
    known = other;
    return false;
  };
  for (Cell* each = cells; each != cells + bytes; ++each, ++address) {
    const bool both_atomic = atomic && (each->writer & kAtomic) != 0;
    if (!both_atomic && conflicts(each->writer, harmless.writer)) {
      report_race(address, kind == Access::read ? "read after write" : "write after write", each->writer, tag);
      each->writer = kPast;
      return;
    }
    if (kind == Access::read) {
      if (each->reader == id) continue;
      // Two readers are remembered; the older is dropped once it is ordered before the new one.
      if (conflicts(each->reader, harmless.reader)) each->other_reader = each->reader;
      each->reader = id;
      continue;
    }
    for (ContextId Cell::*const reader : {&Cell::reader, &Cell::other_reader}) {
      if (!conflicts(each->*reader, harmless.*reader)) continue;
      report_race(address, "write after read", each->*reader, tag);
      each->*reader = 0;
      return;
    }
    *each = {tag, 0, 0};
  }
}

void Checker::on_range(const void* address, std::size_t bytes, Access kind) {
  if (!enabled_ || bytes == 0 || !Memory::get().contains(address)) return;
  const auto* first = static_cast<const char*>(address);
  touch(cell(first), first, bytes, kind);
}

void Checker::on_copy(const void* to, const void* from, std::size_t bytes) {
  on_range(to, bytes, Access::write);
  const bool both_known = Memory::get().contains(to) && Memory::get().contains(from);
  if (!enabled_ || !both_known) return;
  Cell* target = cell(static_cast<const char*>(to));
  const Cell* source = cell(static_cast<const char*>(from));
  for (std::size_t i = 0; i < bytes; ++i) {
    if (!initialised(source[i])) target[i].writer |= kUninitialised;
  }
}

void Checker::on_allocation(const void* address, std::size_t bytes) {
  on_range(address, bytes, Access::write);
  if (!enabled_) return;
  Cell* cells = cell(static_cast<const char*>(address));
  for (std::size_t i = 0; i < bytes; ++i) cells[i].writer |= kUninitialised;
}

std::string Checker::who(ContextId id) const {
  const Context& context = contexts_[(id & kIdMask) - first_id_];
  std::string text = names_[context.operation];
  if (context.thread >= 0) text += fmt::format(" block {} thread {}", context.block, context.thread);
  return (id & kAtomic) != 0 ? text + " (atomic)" : text;
}

std::string Checker::where(const char* address) const {
  if (Memory::get().contains(address)) {
    const Allocation& allocation = *Memory::get().find(address);
    return fmt::format("offset {} of allocation #{}", address - allocation.data, allocation.id);
  }
  for (const SharedVariable& variable : shared_variables()) {
    if (address >= variable.data && address < variable.data + variable.bytes) {
      return fmt::format("offset {} of {}", address - variable.data, variable.name);
    }
  }
  return fmt::format("offset {} of dynamic shared memory", address - BlockRunner::get().dynamic_shared());
}

void Checker::report_race(const char* address, std::string_view kind, ContextId before, ContextId now) {
  const Context& a = contexts_[(before & kIdMask) - first_id_];
  const Context& b = contexts_[(now & kIdMask) - first_id_];
  const bool one_kernel = a.stream == b.stream && a.position == b.position;
  report(one_kernel ? "kernel-race" : "stream-race",
         fmt::format("{} at {}: {} <-> {}", kind, where(address), who(before), who(now)));
}

}  // namespace ep::emulator
