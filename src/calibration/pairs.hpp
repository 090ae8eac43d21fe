#pragma once
#include <vector>

#include "calibration/probe.hpp"
#include "core/matrix.hpp"
#include "cost/machine.hpp"
#include "placement/placement.hpp"

namespace ep::calibration {

/// What links between nodes move.
struct NodeLinks {
  double gbs = 0;                      // a typical node's, one way
  std::vector<cost::LinkScale> scale;  // [nodes] over that
};

/// From what pairs of nodes move one way, GB/s [nodes, nodes] (0: not measured). A pair runs at the slower of the
/// sender's egress and the receiver's ingress, so a node's own is the fastest of its pairs; typical is the upper median
/// of all nodes and both ways, and what differs from it by less than 5 %, as repeated measurements do, has scale 1.
/// With two nodes, egress of one and ingress of the other cannot be told apart: both get the scale.
NodeLinks node_links(const core::Matrix<double>& pair_gbs);

/// Measures pairs of nodes, each way apart, in tournament rounds, so that no two pairs share a link; the ranks of a
/// node send at once, each to its counterpart. At most eight rounds: a slow link shows in any of them.
/// @param line of such a link, roughly: messages are long enough for it to show its rate. @pre collective
NodeLinks probe_node_links(ExchangeProbe& probe, const placement::Topology& topology, const cost::Line& line,
                           int repeats);

/// A link between two ranks of a node, one way, and what it moves over what the typical one does.
struct OddLink {
  int from = 0;
  int to = 0;
  double scale = 1;
};

/// Those that move less than 80 % of the median of all, slowest first. Cores that copy differ by nearly as much where
/// virtual machines share them.
/// @param pair_gbs [ranks, ranks] GB/s; 0: not measured
std::vector<OddLink> odd_links(const core::Matrix<double>& pair_gbs);

/// Measures all pairs of ranks of a node, each way apart, in tournament rounds, all nodes at once. [ranks, ranks] GB/s,
/// 0 where there is no such link.
/// @param line of such a link, roughly. @pre collective
core::Matrix<double> probe_pairs_in_nodes(ExchangeProbe& probe, const placement::Topology& topology,
                                          const cost::Line& line, int repeats);

/// What a probe of the above sends and receives at most, bytes a rank.
constexpr std::int64_t kMostPairBytes = 8 << 20;

}  // namespace ep::calibration
