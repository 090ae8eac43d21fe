#pragma once
#include <string>
#include <vector>

#include "bench/job.hpp"
#include "bench/sampler.hpp"
#include "cost/predict.hpp"
#include "exchange/exchange.hpp"
#include "measure/result.hpp"

namespace ep::bench {

/// What a row is made from, besides its schedule and samples.
struct RowContext {
  const RunOptions& options;
  const Job& job;
  const cost::Machine& machine;
  const std::vector<cost::LinkScale>& link_scale;  // Constants::link_scale
  const device::Device& device;
  const exchange::Exchange& exchange;
  const std::vector<std::string>& hosts;  // [ranks]
};

/// One line of the report: measured medians beside what the model says of the very same routed tokens.
measure::Row make_row(const RowContext& context, const schedule::Schedule& schedule, const Samples& samples);

}  // namespace ep::bench
