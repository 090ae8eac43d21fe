#pragma once
#include <vector>

#include "calibration/calibrate.hpp"
#include "core/matrix.hpp"

namespace ep::calibration {

/// How fast each node's link is, each way, beside its peers', from what pairs of nodes move one way, GB/s [nodes,
/// nodes] (0: not measured). A pair runs at the slower of the sender's egress and the receiver's ingress, so a node's
/// own is the fastest of its pairs; 1 is the upper median of all nodes, and so is what differs from it by less than 5
/// %, as repeated measurements do. With two nodes, egress of one and ingress of the other cannot be told apart: both
/// get the scale.
std::vector<cost::LinkScale> link_scales(const core::Matrix<double>& pair_gbs);

/// Measures in_node, between_nodes and, where there are several nodes, node_memory, node_nic and link_scale of
/// `machine`.
/// @pre collective
void calibrate_links(device::Device& device, exchange::Exchange& exchange, const mpi::Communicator& communicator,
                     const mpi::ClockMap& clock, const CalibrationInput& input, cost::Machine& machine);

}  // namespace ep::calibration
