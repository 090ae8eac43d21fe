#include <algorithm>
#include <array>

#include "core/error.hpp"
#include "kernels/gate_grad.hpp"
#include "kernels/rows_cpu.hpp"

namespace ep::kernels {
namespace {

using core::BFloat16;
using core::DType;

constexpr std::int64_t kBlock = 256;
using Block = std::array<float, kBlock>;

const float* as_floats(const float* in, Block& /*space*/, std::int64_t /*count*/) {
  return in;
}
const float* as_floats(const BFloat16* in, Block& space, std::int64_t count) {
  rows::widen(in, space.data(), count);
  return space.data();
}

template <class Grad, class Row>
void gate_grad_tokens(const GateGradArgs& args) {
  Block grad_space;
  Block row_space;
  for (std::int64_t token = 0; token < args.tokens; ++token) {
    const std::int32_t* const position = args.position + token * args.topk;
    float* const out = args.out + token * args.topk;
    std::fill_n(out, args.topk, 0.0F);
    for (std::int64_t first = 0; first < args.hidden; first += kBlock) {
      const std::int64_t count = std::min<std::int64_t>(kBlock, args.hidden - first);
      const float* const grad =
          as_floats(static_cast<const Grad*>(args.grad) + token * args.hidden + first, grad_space, count);
      for (std::int32_t k = 0; k < args.topk; ++k) {
        if (position[k] < 0) continue;
        const Row* const row = static_cast<const Row*>(args.rows) + std::int64_t{position[k]} * args.hidden + first;
        out[k] += rows::dot(grad, as_floats(row, row_space, count), count);
      }
    }
  }
}

}  // namespace

void gate_grad_cpu(const GateGradArgs& args) {
  if (args.grad_dtype == DType::e4m3 || args.dtype == DType::e4m3)
    throw core::Error(core::ExitCode::unsupported, "gate gradient: fp8 rows are not supported on the cpu device");
  const bool wide_rows = args.dtype == DType::f32;
  if (args.grad_dtype == DType::f32)
    return wide_rows ? gate_grad_tokens<float, float>(args) : gate_grad_tokens<float, BFloat16>(args);
  return wide_rows ? gate_grad_tokens<BFloat16, float>(args) : gate_grad_tokens<BFloat16, BFloat16>(args);
}

}  // namespace ep::kernels
