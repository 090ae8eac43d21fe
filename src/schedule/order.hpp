#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "schedule/schedule.hpp"

namespace ep::schedule {

/// What is known to have ended before each operation of a schedule starts, whatever the timing. Grows by one operation
/// at a time, in the order of their ids; n operations with w waits take O(w n / 64) time and n^2 / 64 words.
class Order {
 public:
  /// Adds the next operation. It comes after all of its lane, and after all on the host, which issues in order and
  /// blocks in its own operations: what it issues later starts later.
  void add(Lane lane);
  /// The operation added last also waits for `earlier`.
  void wait_for(int earlier);
  /// @pre 0 <= earlier < later < operations added
  [[nodiscard]] bool ordered(int earlier, int later) const;

 private:
  using Row = std::vector<std::uint64_t>;  // a bit for each earlier operation
  std::vector<Row> before_;
  std::array<std::optional<int>, 3> last_in_lane_;
};

/// The buffer over which two operations must not run at once, if any: both touch it and one writes.
const BufferId* conflict(const Operation& a, const Operation& b);

}  // namespace ep::schedule
