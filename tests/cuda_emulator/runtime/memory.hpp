#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <string_view>

namespace ep::emulator {

enum class MemoryKind : std::uint8_t { device, pinned, pool, nccl };

struct Allocation {
  char* data = nullptr;  // 256-byte aligned; its last bytes lie just in front of a guard page
  std::size_t bytes = 0;
  MemoryKind kind = MemoryKind::device;
  bool live = false;
  std::uint32_t id = 0;
  int registrations = 0;  // of NCCL
  char* pages = nullptr;
  std::size_t page_bytes = 0;
};

/// Device and pinned memory. Every allocation has pages of its own between guard pages, filled with poison (NaN in
/// fp32, bf16 and e4m3), its slack filled with canaries; no address is ever used twice.
class Memory {
 public:
  static Memory& get();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  /// Null when the device has too little memory left, or where EP_EMU_FAIL_ALLOC says so.
  void* allocate(std::size_t bytes, MemoryKind kind);
  /// Fails when `pointer` is not the start of a live allocation of a kind that `allowed` accepts.
  void release(void* pointer, bool (*allowed)(MemoryKind), std::string_view caller);

  bool contains(const void* address) const;
  /// The allocation, live or freed, in or next to which `address` lies; null if none is near.
  Allocation* find(const void* address);
  /// Fails unless [address, address + bytes) lies in one live allocation. Pageable memory passes if `host_allowed`.
  Allocation* require_range(const void* address, std::size_t bytes, std::string_view what, bool host_allowed = false);
  /// Fails when something has written next to a live allocation.
  void check_canaries();

  std::size_t free_bytes() const;
  const std::map<std::uintptr_t, Allocation>& allocations() const { return allocations_; }
  char* begin() const { return begin_; }
  char* end() const { return end_; }

 private:
  Memory();
  void check_canaries(const Allocation& allocation) const;

  char* begin_ = nullptr;
  char* end_ = nullptr;
  char* top_ = nullptr;
  std::size_t device_bytes_used_ = 0;
  std::uint32_t next_id_ = 0;
  std::uint64_t allocation_calls_ = 0;
  std::map<std::uintptr_t, Allocation> allocations_;  // by Allocation::data
};

}  // namespace ep::emulator
