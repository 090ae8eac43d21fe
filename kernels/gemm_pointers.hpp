#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/stream.hpp"

namespace ep::kernels {

/// Where a library that takes arrays of pointers finds the operands of up to kMaxGroups groups of a grouped GEMM. The
/// arrays are written on the device, from parameters: a copy from the host would have to wait for its staging memory.
struct GemmPointersArgs {
  static constexpr int kMaxGroups = 128;
  struct Group {
    std::int64_t first_row;  // in the input and the output
    std::int32_t weights;    // which weight matrix
  };

  const std::byte* in;
  const std::byte* weights;
  std::byte* out;
  std::int64_t in_row_bytes;
  std::int64_t weights_bytes;  // of one matrix
  std::int64_t out_row_bytes;
  const void** in_pointers;  // out [count], device memory, as the two below
  const void** weights_pointers;
  void** out_pointers;
  std::int32_t count;
  Group groups[kMaxGroups];
};

/// Writes 24 bytes a group, the least possible.
void gemm_pointers_cuda(const GemmPointersArgs& args, StreamHandle stream);

}  // namespace ep::kernels
