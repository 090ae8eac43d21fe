#pragma once
#include <cstdint>
#include <vector>

#include "plan/plan.hpp"

namespace ep::plan {

/// A job whose tokens are all alike: each goes to expert e with the same probability, whichever rank it is on.
struct ExpectedJob {
  std::int64_t tokens = 0;  // of the whole job
  int topk = 0;
  std::vector<double> copies_per_token;  // [experts], summing to topk: routing::expected_copies
  double ranks_per_token = 0;            // distinct destination ranks, mean
  double nodes_per_token = 0;            // distinct destination nodes, mean
};

/// The plan of a job in expectation, without its traffic matrix: linear in ranks and experts, and independent of the
/// number of tokens. Loads are means, so the chance unevenness of a real routing, which falls with the square root of
/// the rows, is not in it. Messages are the pairs of ranks that exchange anything, if the copies of a pair are Poisson.
/// Throws InputError when experts, placement and topology disagree.
Plan expected_plan(const ExpectedJob& job, const placement::Placement& placement, const placement::Topology& topology,
                   int chunks);

}  // namespace ep::plan
