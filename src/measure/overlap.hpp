#pragma once
#include <optional>
#include <span>

namespace ep::measure {

/// The four phases of one iteration on one rank, timed back to back so that drift hits all of them. Microseconds.
struct OverlapSample {
  double both_us = 0;               // communication and compute together, until both have ended
  double compute_alone_us = 0;      // the same compute with no communication
  double comm_alone_us = 0;         // the same communication with no compute
  double compute_with_comm_us = 0;  // the compute part of `both_us`
};

/// What overlapping brought and cost on one rank. Signed and unclamped: a loss shows as a loss.
struct Overlap {
  double exposed_us = 0;    // T_both - T_compute_alone: communication that no compute hid
  double efficiency = 0;    // (T_comm + T_compute - T_both) / min(T_comm, T_compute): 1 all hidden, 0 none, < 0 a loss
  double interference = 0;  // T_compute_with_comm / T_compute_alone: 1 undisturbed
};

/// Median over iterations of each figure, computed pair by pair first: phases of one iteration share its disturbances.
/// Null when there are no samples, or nothing to overlap (a communication or compute phase that took no time).
std::optional<Overlap> overlap(std::span<const OverlapSample> samples);

}  // namespace ep::measure
