#include "schedule/strategy.hpp"

#include "core/error.hpp"
#include "schedule/builder.hpp"

namespace ep::schedule {

namespace {

/// Nothing runs beside anything: the layer as a list.
Schedule sequential(Builder builder) {
  builder.bucket(0);
  builder.exchange_counts();
  builder.pack(0);
  builder.dispatch(0);
  builder.experts(0);
  builder.combine(0);
  builder.shared(0, 1);
  builder.reduce(0);
  return builder.finish();
}

/// Half of the shared expert runs during dispatch, the other half during combine.
Schedule overlapped(Builder builder) {
  builder.bucket(0);
  builder.exchange_counts();
  builder.pack(0);
  builder.dispatch(0);
  builder.shared(0, 2);
  builder.experts(0);
  builder.combine(0);
  builder.shared(1, 2);
  builder.reduce(0);
  return builder.finish();
}

}  // namespace

Strategy parse_strategy(std::string_view word) {
  if (word == "sequential" || word == "overlapped") return {std::string(word), 1};
  throw core::InputError("command line", "--strategy", word, "wanted sequential or overlapped");
}

Schedule build(const Strategy& strategy, const plan::Plan& plan, const plan::LayerShape& shape) {
  if (strategy.name == "sequential") return sequential(Builder(plan, shape, strategy.name, true));
  return overlapped(Builder(plan, shape, strategy.name, false));
}

}  // namespace ep::schedule
