#pragma once
#include <cstdint>
#include <deque>
#include <string>

#include "mpi/communicator.hpp"

namespace ep::exchange {

/// Finds the ranks that an exchange waits for in vain. Costs nothing until it is asked, when hope is lost.
class Absentees {
 public:
  /// @pre collective
  explicit Absentees(const mpi::Communicator& communicator) : kept_(*new Kept{communicator.duplicate(), {}}) {}

  struct Found {
    std::string ranks;       // "2,5", or "none"
    bool first_here = true;  // no lower rank reported it: this one may speak for all
  };
  /// Tells all ranks that this one reached exchange `number` and lost patience, listens to the others for a second, and
  /// names the ranks that reported no such number. Throws Error (communication).
  [[nodiscard]] Found find(std::int64_t number) const;

 private:
  struct Kept {
    mpi::Communicator communicator;
    std::deque<std::int64_t> sent;  // each stays where it is
  };
  // Never freed: what nobody took must not arrive in a communicator made later, and is being sent for ever.
  Kept& kept_;
};

}  // namespace ep::exchange
