#pragma once
#include <string>
#include <vector>

#include "calibration/calibrate.hpp"
#include "calibration/line_fit.hpp"
#include "calibration/pairs.hpp"

namespace ep::calibration {

/// Times of one pattern of messages against their size, and the lines through them.
struct SurveyedPattern {
  std::string links;            // "in node", "between nodes" or "all"
  std::string pattern;          // "rank 0 to 1", "both ways", "one to all", "all to one", "all to all"
  int messages = 0;             // that the busiest rank sends or receives
  std::vector<Sample> samples;  // bytes that the busiest rank sends or receives; medians over repeats
  std::vector<LineFit> fits;    // of samples; none where there are too few
};

struct Survey {
  std::vector<SurveyedPattern> patterns;
  std::vector<OddLink> odd_in_nodes;  // of all pairs of ranks of a node
};

/// Measures with the job's own exchange, nothing else running: one message each way between two ranks, both ways at
/// once, one rank to all and all to one (incast) of a node's ranks and of one rank of each node, and all ranks to all;
/// messages of 1 KiB to 4 MiB, fewer where a rank would hold more than 64 MiB or a pattern take more than some seconds.
/// Then every pair of ranks of a node, to find links that differ. Same result on every rank.
/// @param in_node of a link within a node, roughly. @pre collective
Survey survey(device::Device& device, exchange::Exchange& exchange, const mpi::Communicator& communicator,
              const mpi::ClockSync& clock, const placement::Topology& topology, const cost::Line& in_node);

}  // namespace ep::calibration
