#include "device/cuda_staging.hpp"

#include <cstddef>
#include <cstring>

#include "cuda/error.hpp"

namespace ep::device {

CudaStaging::CudaStaging() : memory_(cuda::allocate_pinned(kSlots * kSlotBytes)) {
  for (cuda::UniqueEvent& end : ends_) end = cuda::make_order_event();
}

void CudaStaging::copy(cudaStream_t stream, void* to, const void* from, std::int64_t bytes) {
  const std::size_t slot = next_;
  next_ = (next_ + 1) % kSlots;
  cuda::check_cuda(cudaEventSynchronize(ends_[slot].get()));  // never recorded: at once
  std::byte* const staged = static_cast<std::byte*>(memory_.get()) + slot * kSlotBytes;
  const auto count = static_cast<std::size_t>(bytes);
  std::memcpy(staged, from, count);
  cuda::check_cuda(cudaMemcpyAsync(to, staged, count, cudaMemcpyHostToDevice, stream));
  cuda::check_cuda(cudaEventRecord(ends_[slot].get(), stream));
}

}  // namespace ep::device
