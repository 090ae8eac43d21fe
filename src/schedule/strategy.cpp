#include "schedule/strategy.hpp"

#include <utility>

#include <fmt/format.h>

#include "core/error.hpp"
#include "core/parse.hpp"
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

/// A pipeline over chunks: while the experts work on one, the next is dispatched and the one before it combined. The
/// shared expert fills the two ends, where the pipeline has nothing else to compute.
Schedule chunked(Builder builder) {
  const int chunks = builder.chunks();
  for (int chunk = 0; chunk < chunks; ++chunk) builder.bucket(chunk);
  builder.exchange_counts();
  builder.pack(0);
  builder.dispatch(0);
  builder.shared(0, 2);
  for (int chunk = 0; chunk < chunks; ++chunk) {
    if (chunk + 1 < chunks) {
      builder.pack(chunk + 1);
      builder.dispatch(chunk + 1);
    }
    builder.experts(chunk);
    builder.combine(chunk);
  }
  builder.shared(1, 2);
  for (int chunk = 0; chunk < chunks; ++chunk) builder.reduce(chunk);
  return builder.finish();
}

/// Two micro-batches: one computes while the other communicates. Each brings its own half of the shared expert, which
/// runs while its batch is on its way to the experts.
Schedule two_batch(Builder builder) {
  builder.bucket(0);
  builder.bucket(1);
  builder.exchange_counts();
  builder.pack(0);
  builder.dispatch(0);
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
  return builder.finish();
}

constexpr std::string_view kChunkedPrefix = "chunked:";

}  // namespace

Strategy parse_strategy(std::string_view word) {
  if (word == "sequential" || word == "overlapped") return {std::string(word), 1};
  if (word == "two-batch") return {std::string(word), 2};
  if (word.starts_with(kChunkedPrefix)) {
    const std::int64_t chunks = core::parse_size(word.substr(kChunkedPrefix.size()), "--strategy chunked");
    if (chunks >= 1 && chunks <= kMostChunks) return {std::string(word), static_cast<int>(chunks)};
  }
  throw core::InputError("command line", "--strategy", word,
                         "wanted sequential, overlapped, chunked:N (N from 1 to 16) or two-batch");
}

std::vector<std::string> every_strategy() {
  std::vector<std::string> names{"sequential", "overlapped", "two-batch"};
  for (int chunks = 1; chunks <= kMostChunks; ++chunks) names.push_back(fmt::format("{}{}", kChunkedPrefix, chunks));
  return names;
}

Schedule build(const Strategy& strategy, const plan::Plan& plan, const plan::LayerShape& shape) {
  if (strategy.name == "sequential") return sequential(Builder(plan, shape, strategy.name, true));
  Builder builder(plan, shape, strategy.name, false);
  if (strategy.name == "overlapped") return overlapped(std::move(builder));
  if (strategy.name == "two-batch") return two_batch(std::move(builder));
  return chunked(std::move(builder));
}

}  // namespace ep::schedule
