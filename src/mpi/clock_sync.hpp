#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "mpi/communicator.hpp"

namespace ep::mpi {

/// A clock that can be read here, and which clock that is: ranks with equal identity read the same one.
struct ClockSource {
  std::string identity;
  std::function<double()> now_us;
};

/// core::now_us, identified by the kernel's boot id and this process's time namespace. Where either cannot be read the
/// identity is this process's alone, which costs a ping-pong but never a wrong zero.
[[nodiscard]] ClockSource host_clock();

/// One measurement: at local time `at_us`, rank 0's clock read `at_us + offset_us`, give or take `uncertainty_us`.
struct ClockSample {
  double at_us = 0;
  double offset_us = 0;
  double uncertainty_us = 0;
};

/// Offset to rank 0's clock over a row, from samples at both of its ends: drift is taken to be linear between them.
class ClockMap {
 public:
  ClockMap() = default;  // the same clock
  ClockMap(const ClockSample& before, const ClockSample& after) : before_(before), after_(after) {}
  /// What to add to the local time `at_us` to get rank 0's, microseconds.
  [[nodiscard]] double offset_us(double at_us) const;
  /// Half the round trip of the worse sample; 0 for a shared clock.
  [[nodiscard]] double uncertainty_us() const;

 private:
  ClockSample before_;
  ClockSample after_;
};

/// Relates every rank's clock to rank 0's.
class ClockSync {
 public:
  /// @pre collective
  explicit ClockSync(const Communicator& communicator, ClockSource clock = host_clock());

  /// Whether all ranks read one clock.
  [[nodiscard]] bool shared() const;
  [[nodiscard]] std::string_view source() const { return shared() ? "shared" : "ping-pong"; }

  /// This rank's offset now: exactly 0 where the clock is rank 0's own, else from the fastest of several round trips,
  /// +- half of it, since the reply cannot have been made outside it (Cristian, "Probabilistic clock synchronization",
  /// Distributed Computing 3, 1989). Ranks that share a clock get the same sample. @pre collective
  [[nodiscard]] ClockSample measure() const;

 private:
  Communicator communicator_;
  ClockSource clock_;
  std::vector<int> leader_of_rank_;  // the first rank that reads the same clock
};

}  // namespace ep::mpi
