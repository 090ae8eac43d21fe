#pragma once
#include <vector>

#include "calibration/calibrate.hpp"
#include "core/matrix.hpp"

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

/// Measures in_node, between_nodes and, where there are several nodes, node_memory, node_nic, fabric and link_scale of
/// `machine`.
/// @pre collective
void calibrate_links(device::Device& device, exchange::Exchange& exchange, const mpi::Communicator& communicator,
                     const mpi::ClockMap& clock, const CalibrationInput& input, cost::Machine& machine);

}  // namespace ep::calibration
