#pragma once
#include <string>
#include <vector>

#include "bench/sampler.hpp"
#include "cost/predict.hpp"
#include "measure/result.hpp"

namespace ep::bench {

/// What tells who is slow.
struct Evidence {
  const placement::Topology& topology;
  const std::vector<std::string>& hosts;           // [ranks]
  const std::vector<cost::LinkScale>& link_scale;  // Constants::link_scale
  const schedule::Schedule& schedule;
  const Samples& samples;
  const cost::Prediction& prediction;
};

/// Who holds the job up by being slower than its peers, slowest first; none when all are alike.
/// * A node's link, one way, that was found to move under 90 % of what its peers' links do (Constants::link_scale).
/// * A rank whose compute takes longer than its peers' against what was predicted for it (the medians of its own steps
///   over the model's times for its own tokens, so that a rank with more tokens is not blamed for them): over 1.2 times
///   where its thread waited for a core for more than 20 % of that time and its peers' for less than 10 %; otherwise
///   with its lower quartile above its peers' upper one, over 2 times, or 1.35 where waiting is not known (GPUs).
std::vector<measure::Suspect> find_suspects(const Evidence& evidence);

}  // namespace ep::bench
