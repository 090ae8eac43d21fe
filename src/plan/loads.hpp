#pragma once
#include <cstdint>
#include <vector>

#include "core/matrix.hpp"
#include "placement/placement.hpp"

namespace ep::plan {

/// What one end of one rank's links carries in an exchange. Not whole where it is an expectation.
struct TierLoad {
  double messages = 0;
  double rows = 0;
};

/// What a rank sends and receives, to and from other ranks of its node and those of other nodes.
struct RankLoad {
  TierLoad out_within, out_between, in_within, in_between;
};

/// [ranks] All that the cost of an exchange depends on, linear in ranks where the traffic matrix is quadratic.
using ExchangeLoads = std::vector<RankLoad>;

/// Sums up a traffic matrix [ranks, ranks]; the diagonal does not travel.
ExchangeLoads loads_of(const core::Matrix<std::int64_t>& rows, const placement::Topology& topology);

/// The same traffic the other way.
ExchangeLoads reversed(const ExchangeLoads& loads);

}  // namespace ep::plan
