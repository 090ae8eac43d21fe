#include "kernels/gate_grad.hpp"
#include "kernels/launch.cuh"

namespace ep::kernels {
namespace {

/// Four values of a row, from 16 or from 8 bytes.
__device__ inline void load_four(const float* row, std::uint32_t four, float (&values)[4]) {
  gpu::Word<float>::unpack(__ldg(reinterpret_cast<const uint4*>(row) + four), values);
}
__device__ inline void load_four(const core::BFloat16* row, std::uint32_t four, float (&values)[4]) {
  const uint2 half = __ldg(reinterpret_cast<const uint2*>(row) + four);
  float wide[8];
  gpu::Word<core::BFloat16>::unpack(make_uint4(half.x, half.y, 0, 0), wide);
  for (int i = 0; i < 4; ++i) values[i] = wide[i];
}

// A warp a copy. Reads copies rows, tokens rows of gradient and 4 bytes a copy of positions, and writes 4 bytes a copy,
// the least possible: a token's gradient is read for every copy of it, but all but once from the cache, since the warps
// of a token are neighbours.
template <class Grad, class Row>
__global__ void __launch_bounds__(gpu::kBlockThreads) gate_grad_copies(GateGradArgs args) {
  const std::int64_t copy = std::int64_t{blockIdx.x} * gpu::kBlockWarps + gpu::warp();
  if (copy >= args.tokens * args.topk) return;
  const std::int32_t position = __ldg(args.position + copy);
  float sum = 0.0F;
  if (position >= 0) {
    // Positions are 32 bits wide, so copies fit; a division of 64 is a call, around which registers spill.
    const std::uint32_t token = static_cast<std::uint32_t>(copy) / static_cast<std::uint32_t>(args.topk);
    const Grad* const grad = static_cast<const Grad*>(args.grad) + std::int64_t{token} * args.hidden;
    const Row* const row = static_cast<const Row*>(args.rows) + std::int64_t{position} * args.hidden;
    const auto fours = static_cast<std::uint32_t>(args.hidden) / 4;
    for (auto four = static_cast<std::uint32_t>(gpu::lane()); four < fours; four += gpu::kWarp) {
      float left[4];
      float right[4];
      load_four(grad, four, left);
      load_four(row, four, right);
      for (int i = 0; i < 4; ++i) sum = fmaf(left[i], right[i], sum);
    }
  }
  for (int step = gpu::kWarp / 2; step > 0; step /= 2) sum += __shfl_xor_sync(gpu::kAllLanes, sum, step);
  if (gpu::lane() == 0) args.out[copy] = sum;
}

}  // namespace

void gate_grad_cuda(const GateGradArgs& args, StreamHandle stream) {
  using core::BFloat16;
  using core::DType;
  if (args.grad_dtype == DType::e4m3 || args.dtype == DType::e4m3)
    gpu::throw_unsupported("gate gradient: fp8 rows are not supported");
  if (args.hidden % 4 != 0) gpu::throw_unsupported("gate gradient: on a GPU the hidden size must be a multiple of 4");
  const std::int64_t blocks = (args.tokens * args.topk + gpu::kBlockWarps - 1) / gpu::kBlockWarps;
  const auto run = [&](auto kernel) {
    gpu::launch("gate gradient", kernel, blocks, gpu::kBlockThreads, 0, stream, args);
  };
  const bool wide_rows = args.dtype == DType::f32;
  if (args.grad_dtype == DType::f32)
    return run(wide_rows ? gate_grad_copies<float, float> : gate_grad_copies<float, BFloat16>);
  return run(wide_rows ? gate_grad_copies<BFloat16, float> : gate_grad_copies<BFloat16, BFloat16>);
}

}  // namespace ep::kernels
