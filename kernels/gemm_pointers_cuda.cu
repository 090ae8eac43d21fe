#include "kernels/gemm_pointers.hpp"
#include "kernels/launch.cuh"

namespace ep::kernels {
namespace {

// Writes 24 bytes a group, the least possible, and reads nothing but its parameters.
__global__ void __launch_bounds__(GemmPointersArgs::kMaxGroups) write_pointers(GemmPointersArgs args) {
  const auto i = static_cast<std::int32_t>(threadIdx.x);
  if (i >= args.count) return;
  const GemmPointersArgs::Group group = args.groups[i];
  args.in_pointers[i] = args.in + group.first_row * args.in_row_bytes;
  args.weights_pointers[i] = args.weights + group.weights * args.weights_bytes;
  args.out_pointers[i] = args.out + group.first_row * args.out_row_bytes;
}

}  // namespace

void gemm_pointers_cuda(const GemmPointersArgs& args, StreamHandle stream) {
  gpu::launch("gemm pointers", write_pointers, args.count > 0 ? 1 : 0, GemmPointersArgs::kMaxGroups, 0, stream, args);
}

}  // namespace ep::kernels
