#include <algorithm>
#include <array>
#include <cstring>

#include "core/error.hpp"
#include "kernels/quantise.hpp"
#include "kernels/rows_cpu.hpp"
#include "kernels/stream_store_cpu.hpp"

namespace ep::kernels {
namespace {

template <class T>
void quantise_row(const T* in, std::int32_t hidden, std::byte* row, bool streaming) {
  std::array<E4m3, kScaleBlock> elements;
  for (std::int64_t block = 0; block < scale_count(hidden); ++block) {
    const std::int64_t first = block * kScaleBlock;
    const std::int64_t count = std::min<std::int64_t>(kScaleBlock, hidden - first);
    const float scale = e4m3_scale(rows::amax(in + first, count));
    rows::quantise(1.0F / scale, in + first, elements.data(), count);
    if (streaming) {
      stream_copy(row + first, elements.data(), count);
    } else {
      std::memcpy(row + first, elements.data(), static_cast<std::size_t>(count));
    }
    std::memcpy(row + scale_offset(hidden, block), &scale, sizeof(scale));
  }
  std::fill(row + scale_offset(hidden, scale_count(hidden)), row + e4m3_row_bytes(hidden), std::byte{0});
}

template <class T>
void quantise_tokens(const QuantiseArgs& args) {
  const std::int64_t row_bytes = e4m3_row_bytes(args.hidden);
  const bool streaming = args.token_count * row_bytes >= streaming_threshold_bytes();
  for (std::int64_t token = 0; token < args.token_count; ++token) {
    quantise_row(static_cast<const T*>(args.tokens) + token * args.hidden, args.hidden, args.rows + token * row_bytes,
                 streaming);
  }
  if (streaming) stream_fence();
}

}  // namespace

void quantise_cpu(const QuantiseArgs& args) {
  switch (args.dtype) {
    case core::DType::f32:
      return quantise_tokens<float>(args);
    case core::DType::bf16:
      return quantise_tokens<core::BFloat16>(args);
    case core::DType::e4m3:
      break;
  }
  throw core::Error(core::ExitCode::unsupported, "quantise: the tokens are fp8 already");
}

}  // namespace ep::kernels
