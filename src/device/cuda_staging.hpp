#pragma once
#include <array>
#include <cstdint>

#include "cuda/handles.hpp"

namespace ep::device {

/// Pinned memory through which small host arrays go to the device, so that the copy is asynchronous and the caller's
/// array is free at once. A ring of slots: a slot is used again when the copy from it has ended, which its event tells.
class CudaStaging {
 public:
  static constexpr std::int64_t kSlotBytes = 128 << 10;

  CudaStaging();
  /// Copies `bytes` to the device behind what `stream` holds. @pre bytes <= kSlotBytes
  void copy(cudaStream_t stream, void* to, const void* from, std::int64_t bytes);

 private:
  // An iteration must not wait for a slot: the host would no longer be ahead of the device. It makes two copies a
  // chunk, the segments there and back, of at most 16 chunks (schedule::kMostChunks); some slots are to spare.
  static constexpr std::size_t kSlots = 2 * 16 + 8;
  cuda::UniquePinnedMemory memory_;
  std::array<cuda::UniqueEvent, kSlots> ends_;
  std::size_t next_ = 0;
};

}  // namespace ep::device
