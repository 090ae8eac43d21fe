#include "schedule/recipe.hpp"

namespace ep::schedule {

namespace {

/// Tokens are quantised while the host exchanges counts. Half of the shared expert runs during dispatch, the other half
/// during combine.
void overlapped_forward(Builder& builder) {
  builder.bucket(0);
  builder.quantise(0);
  builder.exchange_counts();
  builder.pack(0);
  builder.dispatch(0);
  builder.shared(0, 2);
  builder.experts(0);
  builder.combine(0);
  builder.shared(1, 2);
  builder.reduce(0);
}

/// Gate gradients and the shared expert's input gradient run during dispatch, its weight gradients during combine.
void overlapped_backward(Builder& builder, bool defer_dw) {
  builder.pack_grad(0);
  builder.dispatch_grad(0);
  builder.gate_grad(0);
  builder.shared_dx(0, 1);
  builder.experts_grad(0, defer_dw);
  builder.combine_grad(0);
  if (defer_dw) builder.experts_dw(0);
  builder.shared_dw(0, 1);
  builder.reduce_grad(0);
}

}  // namespace

const Recipe kOverlapped{"overlapped", 1, false, overlapped_forward, overlapped_backward};

}  // namespace ep::schedule
