#include "cuda_emulator/runtime/memory.hpp"

#include <algorithm>
#include <cstring>
#include <sys/mman.h>

#include <fmt/format.h>

#include "cuda_emulator/checker/checker.hpp"
#include "cuda_emulator/runtime/config.hpp"
#include "cuda_emulator/runtime/protection.hpp"
#include "cuda_emulator/runtime/random.hpp"
#include "cuda_emulator/runtime/report.hpp"

namespace ep::emulator {
namespace {

constexpr std::size_t kArenaBytes = std::size_t{256} << 30;  // of addresses, not of memory
constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kAlignment = 256;        // what cudaMalloc promises
constexpr std::size_t kGuardBytes = 64 << 10;  // unmapped, around every allocation
constexpr int kCanary = 0xa5;
constexpr int kNanPoison = 0xff;  // NaN as fp32, bf16 and e4m3, -1 as an integer
constexpr int kBigPoison = 0x7f;  // a huge number or NaN

constexpr std::size_t round_up(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

bool is_canary(char value) {
  return static_cast<unsigned char>(value) == kCanary;
}

}  // namespace

Memory& Memory::get() {
  static Memory& memory = *new Memory;
  return memory;
}

Memory::Memory() {
  void* reserved = mmap(nullptr, kArenaBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) fail("memory", "cannot reserve addresses for the device");
  begin_ = top_ = static_cast<char*>(reserved);
  end_ = begin_ + kArenaBytes;
}

bool Memory::contains(const void* address) const {
  return address >= begin_ && address < end_;
}

std::size_t Memory::free_bytes() const {
  return config().device_bytes - device_bytes_used_;
}

void* Memory::allocate(std::size_t bytes, MemoryKind kind) {
  if (fault_due(config().faults.allocation, allocation_calls_)) return nullptr;
  const bool device = kind != MemoryKind::pinned;
  if (bytes == 0 || (device && bytes > free_bytes())) return nullptr;
  const std::size_t rounded = round_up(bytes, kAlignment);
  const std::size_t page_bytes = round_up(rounded, kPageBytes);
  if (page_bytes + 2 * kGuardBytes > static_cast<std::size_t>(end_ - top_))
    fail("memory", "the emulator's addresses are used up");
  char* pages = top_ + kGuardBytes;
  top_ = pages + page_bytes;
  open_pages(pages, page_bytes, device);
  char* data = pages + page_bytes - rounded;
  const DeviceAccess access;
  Random random = seeded_random(3, next_id_);
  std::memset(pages, kCanary, page_bytes);
  std::memset(data, random.one_in(3) ? kBigPoison : kNanPoison, bytes);
  if (device) device_bytes_used_ += bytes;
  allocations_[reinterpret_cast<std::uintptr_t>(data)] = {data, bytes, kind, true, next_id_++, 0, pages, page_bytes};
  return data;
}

void Memory::release(void* pointer, bool (*allowed)(MemoryKind), std::string_view caller) {
  const auto found = allocations_.find(reinterpret_cast<std::uintptr_t>(pointer));
  if (found == allocations_.end()) fail("bad-free", fmt::format("{}: {} was never allocated", caller, pointer));
  Allocation& allocation = found->second;
  if (!allocation.live) fail("bad-free", fmt::format("{}: allocation #{} is free already", caller, allocation.id));
  if (!allowed(allocation.kind)) {
    fail("bad-free", fmt::format("{}: allocation #{} came from another allocator", caller, allocation.id));
  }
  if (allocation.registrations > 0) {
    fail("nccl-registration", fmt::format("{}: allocation #{} is still registered with NCCL", caller, allocation.id));
  }
  {
    const DeviceAccess access;
    check_canaries(allocation);
  }
  allocation.live = false;
  if (allocation.kind != MemoryKind::pinned) device_bytes_used_ -= allocation.bytes;
  mmap(allocation.pages, allocation.page_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
       0);
  Checker::get().forget(allocation);
}

Allocation* Memory::find(const void* address) {
  const auto* wanted = static_cast<const char*>(address);
  auto after = allocations_.upper_bound(reinterpret_cast<std::uintptr_t>(address));
  if (after != allocations_.begin()) {
    Allocation& before = std::prev(after)->second;
    if (wanted < before.pages + before.page_bytes + kGuardBytes) return &before;
  }
  if (after != allocations_.end() && after->second.pages - wanted < static_cast<std::ptrdiff_t>(kGuardBytes)) {
    return &after->second;
  }
  return nullptr;
}

Allocation* Memory::require_range(const void* address, std::size_t bytes, std::string_view what, bool host_allowed) {
  if (bytes == 0) return nullptr;
  if (!contains(address)) {
    if (host_allowed) return nullptr;
    fail("bad-pointer", fmt::format("{}: {} is neither device nor pinned memory", what, address));
  }
  Allocation* allocation = find(address);
  if (allocation == nullptr || !allocation->live) {
    fail("use-after-free", fmt::format("{}: {} is in no live allocation", what, address));
  }
  const auto* first = static_cast<const char*>(address);
  if (first < allocation->data || first + bytes > allocation->data + allocation->bytes) {
    fail("out-of-bounds", fmt::format("{}: {} bytes at offset {} of allocation #{} ({} bytes)", what, bytes,
                                      first - allocation->data, allocation->id, allocation->bytes));
  }
  return allocation;
}

void Memory::check_canaries(const Allocation& allocation) const {
  const char* front = std::max(allocation.pages, allocation.data - kAlignment);
  if (!std::all_of(front, static_cast<const char*>(allocation.data), is_canary)) {
    fail("out-of-bounds", fmt::format("bytes in front of allocation #{} were overwritten", allocation.id));
  }
  const char* back = allocation.data + allocation.bytes;
  const char* end = allocation.pages + allocation.page_bytes;
  if (const char* bad = std::find_if_not(back, end, is_canary); bad != end) {
    fail("out-of-bounds", fmt::format("offset {} behind the end of allocation #{} ({} bytes) was overwritten",
                                      bad - back, allocation.id, allocation.bytes));
  }
}

void Memory::check_canaries() {
  for (const auto& [address, allocation] : allocations_) {
    if (allocation.live) check_canaries(allocation);
  }
}

}  // namespace ep::emulator
