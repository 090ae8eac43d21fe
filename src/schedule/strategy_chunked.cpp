#include "schedule/recipe.hpp"

namespace ep::schedule {

namespace {

void chunked_forward(Builder& builder) {
  const int chunks = builder.chunks();
  for (int chunk = 0; chunk < chunks; ++chunk) builder.bucket(chunk);
  builder.quantise(0);
  builder.exchange_counts();
  builder.pack(0);
  builder.dispatch(0);
  builder.shared(0, 2);
  for (int chunk = 0; chunk < chunks; ++chunk) {
    if (chunk + 1 < chunks) {
      builder.quantise(chunk + 1);
      builder.pack(chunk + 1);
      builder.dispatch(chunk + 1);
    }
    builder.experts(chunk);
    builder.combine(chunk);
  }
  builder.shared(1, 2);
  for (int chunk = 0; chunk < chunks; ++chunk) builder.reduce(chunk);
}

void chunked_backward(Builder& builder, bool defer_dw) {
  const int chunks = builder.chunks();
  builder.pack_grad(0);
  builder.dispatch_grad(0);
  for (int chunk = 0; chunk < chunks; ++chunk) builder.gate_grad(chunk);
  builder.shared_dx(0, 1);
  for (int chunk = 0; chunk < chunks; ++chunk) {
    if (chunk + 1 < chunks) {
      builder.pack_grad(chunk + 1);
      builder.dispatch_grad(chunk + 1);
    }
    builder.experts_grad(chunk, defer_dw);
    builder.combine_grad(chunk);
    if (defer_dw) builder.experts_dw(chunk);
  }
  builder.shared_dw(0, 1);
  for (int chunk = 0; chunk < chunks; ++chunk) builder.reduce_grad(chunk);
}

}  // namespace

/// A pipeline over chunks: while the experts work on one, the next is dispatched and the one before it combined. The
/// shared expert fills the two ends, where the pipeline has nothing else to compute.
const Recipe kChunked{"chunked", 0, false, chunked_forward, chunked_backward};

}  // namespace ep::schedule
