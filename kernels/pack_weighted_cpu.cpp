#include <algorithm>
#include <array>

#include "core/error.hpp"
#include "kernels/pack_weighted.hpp"
#include "kernels/rows_cpu.hpp"
#include "kernels/stream_store_cpu.hpp"

namespace ep::kernels {
namespace {

template <class T>
void scale_row(float weight, const T* in, T* out, std::int64_t count, bool streaming) {
  if (!streaming) return rows::scale(weight, in, out, count);
  std::array<T, kStreamBlock> block;
  for (std::int64_t first = 0; first < count; first += kStreamBlock) {
    const std::int64_t size = std::min(kStreamBlock, count - first);
    rows::scale(weight, in + first, block.data(), size);
    stream_copy(out + first, block.data(), size * std::int64_t{sizeof(T)});
  }
}

template <class T>
void pack_tokens(const PackWeightedArgs& args) {
  const std::int64_t hidden = args.hidden;
  const bool streaming = args.token_count * args.topk * hidden * std::int64_t{sizeof(T)} >= streaming_threshold_bytes();
  for (std::int64_t copy = 0; copy < args.token_count * args.topk; ++copy) {
    const std::int64_t row = args.position[copy];
    if (row < 0) continue;
    T* const out = args.own.contains(row) ? static_cast<T*>(args.own_out) + (row - args.own.begin) * hidden
                                          : static_cast<T*>(args.send) + row * hidden;
    const T* const in = static_cast<const T*>(args.tokens) + copy / args.topk * hidden;
    scale_row(args.weights[copy], in, out, hidden, streaming);
  }
  if (streaming) stream_fence();
}

}  // namespace

void pack_weighted_cpu(const PackWeightedArgs& args) {
  switch (args.dtype) {
    case core::DType::f32:
      return pack_tokens<float>(args);
    case core::DType::bf16:
      return pack_tokens<core::BFloat16>(args);
    case core::DType::e4m3:
      break;
  }
  throw core::Error(core::ExitCode::unsupported, "weighted pack: fp8 rows are not supported on the cpu device");
}

}  // namespace ep::kernels
