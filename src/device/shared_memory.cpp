#include "device/shared_memory.hpp"

#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <map>
#include <mutex>
#include <new>
#include <random>
#include <string>
#include <sys/mman.h>
#include <system_error>
#include <unistd.h>

#include <fmt/format.h>

#include "core/error.hpp"
#include "core/unique_handle.hpp"

namespace ep::device {
namespace {

constexpr std::size_t kHugePageBytes = 2 << 20;
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25  // of Linux; glibc names it since 2.37
#endif

/// Behind the data, on a page of its own.
struct Trailer {
  std::uint64_t serial;
  std::atomic<bool> alive;
};
static_assert(std::atomic<bool>::is_always_lock_free, "a lock would be of one process");

std::int64_t page_bytes() {
  static const std::int64_t kBytes = sysconf(_SC_PAGESIZE);
  return kBytes;
}

std::int64_t whole_pages(std::int64_t size_bytes) {
  return (size_bytes + page_bytes() - 1) / page_bytes() * page_bytes();
}

struct DescriptorPolicy {
  using Handle = int;
  static Handle null() { return -1; }
  static void close(Handle descriptor) noexcept { ::close(descriptor); }
};
using Descriptor = core::UniqueHandle<DescriptorPolicy>;

std::size_t mapped_bytes(std::int64_t size_bytes) {
  return static_cast<std::size_t>(whole_pages(size_bytes) + page_bytes());
}

/// Where `length` bytes can go that begin a huge page; null when it cannot be.
std::byte* reserve(std::size_t length) {
  void* const room =
      mmap(nullptr, length + kHugePageBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return nullptr;
  auto* const first = static_cast<std::byte*>(room);
  const std::size_t into_page = reinterpret_cast<std::uintptr_t>(room) % kHugePageBytes;
  const std::size_t skipped = into_page == 0 ? 0 : kHugePageBytes - into_page;
  if (skipped > 0) munmap(first, skipped);
  munmap(first + skipped + length, kHugePageBytes - skipped);
  return first + skipped;
}

/// Data and trailer; null when it cannot be. Page faults happen now, not in what is timed. Huge pages where Linux can
/// make them (6.1 and later): most machines are set to give none to memory that is shared, unless one insists.
std::byte* map(int descriptor, std::int64_t size_bytes, int protection) {
  const std::size_t length = mapped_bytes(size_bytes);
  std::byte* const data = reserve(length);
  if (data == nullptr) return nullptr;
  if (mmap(data, length, protection, MAP_SHARED | MAP_FIXED | MAP_POPULATE, descriptor, 0) == MAP_FAILED) {
    munmap(data, length);
    return nullptr;
  }
  madvise(data, length / kHugePageBytes * kHugePageBytes, MADV_COLLAPSE);
  return data;
}

Trailer* trailer_of(std::byte* data, std::int64_t size_bytes) {
  return std::launder(reinterpret_cast<Trailer*>(data + whole_pages(size_bytes)));
}

std::string last_error() {
  return std::generic_category().message(errno);
}

std::uint64_t next_serial() {
  static std::random_device random;  // called under the registry's lock
  return (std::uint64_t{random()} << 32) | random();
}

/// What this process has allocated, by address.
struct Allocation {
  Descriptor descriptor;
  SharedPlace place;
};
struct Registry {
  std::mutex mutex;
  std::map<const std::byte*, Allocation> allocations;
};
/// Never destroyed: buffers of static storage may be released after it would be.
Registry& registry() {
  static Registry& known = *new Registry;
  return known;
}

void release(std::byte* data) {
  Registry& known = registry();
  const std::lock_guard lock(known.mutex);
  const auto found = known.allocations.find(data);
  const std::int64_t size_bytes = found->second.place.size_bytes;
  trailer_of(data, size_bytes)->alive.store(false, std::memory_order_relaxed);
  // Those that map it would keep it from being used again, until they find out. Where the hole is refused, they do.
  static_cast<void>(fallocate(found->second.descriptor.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                              whole_pages(size_bytes)));
  munmap(data, mapped_bytes(size_bytes));
  known.allocations.erase(found);
}

}  // namespace

Buffer allocate_shared(std::int64_t size_bytes) {
  const auto refuse = [&] {
    throw core::Error(
        core::ExitCode::unsupported,
        fmt::format("cannot allocate {} bytes that other processes can map: {}", size_bytes, last_error()));
  };
  Registry& known = registry();
  const std::lock_guard lock(known.mutex);
  const std::uint64_t serial = next_serial();
  Descriptor descriptor(memfd_create("epbench", MFD_CLOEXEC));
  if (!descriptor || ftruncate(descriptor.get(), whole_pages(size_bytes) + page_bytes()) != 0) refuse();
  std::byte* const data = map(descriptor.get(), size_bytes, PROT_READ | PROT_WRITE);
  if (data == nullptr) refuse();
  const SharedPlace place{getpid(), descriptor.get(), serial, size_bytes, 0};
  new (data + whole_pages(size_bytes)) Trailer{serial, true};
  known.allocations.emplace(data, Allocation{std::move(descriptor), place});
  return {data, size_bytes, release};
}

std::optional<SharedPlace> find_shared(const void* address) {
  const auto* const byte = static_cast<const std::byte*>(address);
  Registry& known = registry();
  const std::lock_guard lock(known.mutex);
  auto next = known.allocations.upper_bound(byte);
  if (next == known.allocations.begin()) return std::nullopt;
  const auto& [data, allocation] = *--next;
  SharedPlace place = allocation.place;
  place.offset = byte - data;
  if (place.offset >= place.size_bytes) return std::nullopt;
  return place;
}

SharedMapping::SharedMapping(const SharedPlace& place, bool writable)
    : size_bytes_(place.size_bytes), serial_(place.serial) {
  const std::string path = fmt::format("/proc/{}/fd/{}", place.process, place.descriptor);
  const auto refuse = [&](const std::string& why) {
    throw core::Error(
        core::ExitCode::unsupported,
        fmt::format("memory of process {} of this node cannot be mapped: {}: {}", place.process, path, why));
  };
  const Descriptor descriptor(open(path.c_str(), (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC));
  if (!descriptor) refuse(last_error());
  // What lies there is looked at through a mapping, which would fault beyond the end of something shorter.
  if (lseek(descriptor.get(), 0, SEEK_END) != whole_pages(size_bytes_) + page_bytes()) refuse("another file");
  data_ = map(descriptor.get(), size_bytes_, writable ? PROT_READ | PROT_WRITE : PROT_READ);
  if (data_ == nullptr) refuse(last_error());
  if (trailer_of(data_, size_bytes_)->serial == serial_) return;
  munmap(data_, mapped_bytes(size_bytes_));
  refuse("other memory");
}

SharedMapping::~SharedMapping() {
  munmap(data_, mapped_bytes(size_bytes_));
}

bool SharedMapping::alive() const {
  return trailer_of(data_, size_bytes_)->alive.load(std::memory_order_relaxed);
}

}  // namespace ep::device
