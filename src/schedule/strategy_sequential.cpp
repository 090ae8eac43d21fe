#include "schedule/recipe.hpp"

namespace ep::schedule {

namespace {

void sequential_forward(Builder& builder) {
  builder.bucket(0);
  builder.exchange_counts();
  builder.quantise(0);
  builder.pack(0);
  builder.dispatch(0);
  builder.experts(0);
  builder.combine(0);
  builder.shared(0, 1);
  builder.reduce(0);
}

void sequential_backward(Builder& builder, bool defer_dw) {
  builder.gate_grad(0);
  builder.pack_grad(0);
  builder.dispatch_grad(0);
  builder.experts_grad(0, defer_dw);
  builder.combine_grad(0);
  if (defer_dw) builder.experts_dw(0);
  builder.shared_dx(0, 1);
  builder.shared_dw(0, 1);
  builder.reduce_grad(0);
}

}  // namespace

/// Nothing runs beside anything: the layer as a list.
const Recipe kSequential{"sequential", 1, true, sequential_forward, sequential_backward};

}  // namespace ep::schedule
