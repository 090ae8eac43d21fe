#include "schedule/recipe.hpp"

namespace ep::schedule {

namespace {

void two_batch_forward(Builder& builder) {
  builder.bucket(0);
  builder.bucket(1);
  builder.quantise(0);
  builder.exchange_counts();
  builder.pack(0);
  builder.dispatch(0);
  builder.quantise(1);
  builder.pack(1);
  builder.shared(0, 2);
  builder.dispatch(1);
  builder.experts(0);
  builder.combine(0);
  builder.shared(1, 2);
  builder.experts(1);
  builder.combine(1);
  builder.reduce(0);
  builder.reduce(1);
}

void two_batch_backward(Builder& builder, bool defer_dw) {
  builder.pack_grad(0);
  builder.dispatch_grad(0);
  builder.pack_grad(1);
  builder.gate_grad(0);
  builder.shared_dx(0, 2);
  builder.dispatch_grad(1);
  builder.experts_grad(0, defer_dw);
  builder.combine_grad(0);
  if (defer_dw) builder.experts_dw(0);
  builder.gate_grad(1);
  builder.shared_dx(1, 2);
  builder.experts_grad(1, defer_dw);
  builder.combine_grad(1);
  if (defer_dw) builder.experts_dw(1);
  builder.shared_dw(0, 2);
  builder.shared_dw(1, 2);
  builder.reduce_grad(0);
  builder.reduce_grad(1);
}

}  // namespace

/// Two micro-batches: one computes while the other communicates. Each brings its own half of the shared expert, which
/// runs while its batch is on its way to the experts.
const Recipe kTwoBatch{"two-batch", 2, false, two_batch_forward, two_batch_backward};

}  // namespace ep::schedule
