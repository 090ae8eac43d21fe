#pragma once
#include <vector>

#include "calibration/calibrate.hpp"

namespace ep::calibration {

/// Measures in_node, between_nodes and, where there are several nodes, node_memory, node_nic, fabric and link_scale of
/// the machine, and the fits of all but node_nic, which is no line.
/// @pre collective
void calibrate_links(device::Device& device, exchange::Exchange& exchange, const mpi::Communicator& communicator,
                     const mpi::ClockMap& clock, const CalibrationInput& input, Calibration& result);

/// What each node's links to others move now over what a typical node's do, [nodes] (node_links); empty on one node.
/// @param between_nodes of a link to another node, roughly. @pre collective
std::vector<cost::LinkScale> current_link_scale(device::Device& device, exchange::Exchange& exchange,
                                                const mpi::Communicator& communicator, const mpi::ClockSync& clock,
                                                const CalibrationInput& input, const cost::Line& between_nodes);

}  // namespace ep::calibration
