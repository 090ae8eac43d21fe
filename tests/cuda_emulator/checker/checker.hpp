#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cuda_emulator/runtime/memory.hpp"
#include "cuda_emulator/runtime/stream.hpp"

namespace ep::emulator {

enum class Access : std::uint8_t { read, write, atomic };

/// Finds bad accesses and races of kernels, stream operations and the host. Works in programs whose sources were
/// compiled for the check flavour: the compiler calls it at every load and store. Elsewhere every call returns at once.
///
/// Each byte of emulated memory has a cell: who wrote it last and who has read it since. "Who" is a context: a stream
/// operation or the host at a position of its stream, within a kernel also block, thread and the numbers of barriers
/// passed. Two contexts are ordered by the vector clocks of their operations or, in one kernel, by barriers. So a race
/// is found whenever the two accesses happen, in whatever order this run happened to choose.
class Checker {
 public:
  static Checker& get();
  Checker(const Checker&) = delete;
  Checker& operator=(const Checker&) = delete;

  void enable() { enabled_ = true; }
  /// For a signal handler, which runs where user code was.
  void disable() { enabled_ = false; }
  bool enabled() const { return enabled_; }

  /// One load or store of instrumented code, or an atomic operation.
  void on_access(const void* address, std::size_t bytes, Access kind);
  /// A range that the running operation, or the host, reads or writes. @pre it lies in one live allocation
  void on_range(const void* address, std::size_t bytes, Access kind);
  /// As a write of the range, whose bytes stay as uninitialised as those at `from`.
  void on_copy(const void* to, const void* from, std::size_t bytes);
  /// As a write of the range, which leaves it uninitialised.
  void on_allocation(const void* address, std::size_t bytes);
  /// Fails where nothing has written a byte of the range (GEMM inputs).
  void require_initialised(const void* address, std::size_t bytes, std::string_view what);
  /// An atomic store of the host: who reads it on the device is ordered behind what the host did before.
  void on_release(const void* address, std::size_t bytes);
  /// The running operation has read, atomically, what the host stored last.
  void on_acquire(const void* address, std::size_t bytes);
  /// A fresh block: shared memory holds nothing.
  void begin_block();
  /// Memory was freed; its cells are never needed again.
  void forget(const Allocation& allocation);

 private:
  using ContextId = std::uint32_t;  // its two highest bits are the flags below
  struct Context {
    std::uint32_t stream = 0;  // Stream::id, 0 the host
    std::uint32_t position = 0;
    std::uint32_t block = 0;
    std::int32_t thread = -1;  // -1: the operation as a whole
    std::uint32_t barrier_epoch = 0;
    std::uint32_t warp_epoch = 0;
    std::uint32_t operation = 0;  // index into names_
  };
  struct Cell {
    ContextId writer = 0;  // 0: never written
    ContextId reader = 0;
    ContextId other_reader = 0;
  };

  Checker();
  void preempt();
  void check_memory(const char* address, std::size_t bytes, Access kind);
  void check_kernel(const char* address, std::size_t bytes, Access kind);
  bool check_shared(const char* address, std::size_t bytes, Access kind);
  void check_read_initialised(Cell* cells, std::size_t bytes, const char* address);
  void touch(Cell* cells, const char* address, std::size_t bytes, Access kind);
  ContextId context();
  ContextId kernel_context();
  ContextId add_context(const Context& context);
  void recycle_contexts();
  std::uint32_t name_of_current();
  bool ordered(ContextId before, const Context& now) const;
  void report_race(const char* address, std::string_view kind, ContextId before, ContextId now);
  std::string who(ContextId id) const;
  std::string where(const char* address) const;
  Cell* cell(const char* address) { return cells_ + (address - Memory::get().begin()); }

  static bool initialised(const Cell& each) { return each.writer != 0 && (each.writer & kUninitialised) == 0; }

  static constexpr ContextId kAtomic = 0x80000000u;
  static constexpr ContextId kUninitialised =
      0x40000000u;  // written, but with nothing: allocated, or copied from there
  static constexpr ContextId kIdMask = 0x3fffffffu;
  static constexpr ContextId kPast = 1;  // whatever is ordered before all that may still happen

  bool enabled_ = false;
  Cell* cells_ = nullptr;
  std::vector<Cell> dynamic_shared_;
  std::vector<Cell> static_shared_;
  std::vector<Context> contexts_;  // of ids first_id_, first_id_ + 1, …; older ones are past
  ContextId first_id_ = 2;
  std::vector<std::string> names_;
  std::map<const void*, VectorClock> released_;  // by the address of the latest store there
  std::array<ContextId, 1024> lane_contexts_{};
  std::uint64_t named_operation_ = 0;
  ContextId operation_context_ = 0;
  ContextId host_context_ = 0;
  std::uint32_t host_position_ = 0;
};

}  // namespace ep::emulator
