#pragma once
#include <vector>

#include "bench/rows.hpp"

namespace ep::bench {

/// Who holds the job up by being slower than its peers, slowest first; none when all are alike.
/// * A node's link, one way, that calibration found to move under 90 % of what its peers' links do.
/// * A rank whose compute takes longer than its peers' against what was predicted for it (the medians of its own steps
///   over the model's times for its own tokens, so that a rank with more tokens is not blamed for them): over 1.2 times
///   where its thread waited for a core for more than 20 % of that time and its peers' for less than 10 %; otherwise
///   with its lower quartile above its peers' upper one, over 2 times, or 1.35 where waiting is not known (GPUs).
std::vector<measure::Suspect> find_suspects(const RowContext& context, const schedule::Schedule& schedule,
                                            const Samples& samples, const cost::Prediction& prediction);

}  // namespace ep::bench
