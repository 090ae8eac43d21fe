#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "device/device.hpp"

namespace ep::device {

/// Where bytes lie in shared memory, as another process of the node finds them. Plain data, to be sent as it is.
struct SharedPlace {
  std::int64_t process = 0;     // that allocated it
  std::int64_t descriptor = 0;  // of its memory there
  std::uint64_t serial = 0;     // random, of this allocation alone
  std::int64_t size_bytes = 0;  // of the allocation
  std::int64_t offset = 0;      // bytes from its start
};

/// Zeroed host memory that processes of this node can map, page-aligned. Released, it is free for others to allocate,
/// whoever still maps it: they read zeros. Anonymous (memfd_create): neither the size of /dev/shm nor a killed process
/// matters. Throws Error (unsupported) where the kernel refuses such memory. @pre size_bytes > 0
Buffer allocate_shared(std::int64_t size_bytes);

/// The place of an address within memory of allocate_shared; nothing for other memory. From any thread.
std::optional<SharedPlace> find_shared(const void* address);

/// Another process's shared memory, mapped here.
class SharedMapping {
 public:
  /// Throws Error (unsupported) where this process cannot map it or finds something else at that place: another user's
  /// process, or one in a container of its own, whose processes are numbered apart.
  /// @param writable whether it is to be written here too, not only read.
  explicit SharedMapping(const SharedPlace& place, bool writable = false);
  ~SharedMapping();
  SharedMapping(const SharedMapping&) = delete;
  SharedMapping& operator=(const SharedMapping&) = delete;

  [[nodiscard]] std::uint64_t serial() const { return serial_; }
  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] std::int64_t size_bytes() const { return size_bytes_; }
  /// Whether its owner still has it.
  [[nodiscard]] bool alive() const;

 private:
  std::byte* data_ = nullptr;
  std::int64_t size_bytes_ = 0;
  std::uint64_t serial_ = 0;
};

}  // namespace ep::device
