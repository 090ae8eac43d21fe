#pragma once
#include <vector>

#include "plan/plan.hpp"
#include "schedule/schedule.hpp"

namespace ep::schedule {

/// Appends operations of the layer to a schedule, one call each. A strategy is nothing but the order of these calls:
/// what an operation reads, writes and costs is fixed here, and its waits follow from that. A wait is added for every
/// earlier operation that touches the same data and is not ordered before it already; none is redundant.
class Builder {
 public:
  /// @param serial every operation also waits for the one before it: nothing runs beside anything.
  Builder(const plan::Plan& plan, const plan::LayerShape& shape, std::string strategy, bool serial);

  [[nodiscard]] int chunks() const { return schedule_.chunks; }
  [[nodiscard]] bool has_shared() const;

  void bucket(int chunk);
  void exchange_counts();  // one for all chunks; none where the plan says that all ranks know the counts
  void pack(int chunk);
  void dispatch(int chunk);
  void experts(int chunk);  // regroup, gate_up, swiglu, down, ungroup
  void combine(int chunk);
  void reduce(int chunk);
  /// Part `part` of `parts` of the shared expert, an equal range of the rank's own tokens; nothing when it has none.
  void shared(int part, int parts);

  /// Validates and hands over the schedule.
  Schedule finish();

 private:
  Operation& add(OpKind kind, Lane lane, int part, int parts, Work work, std::vector<BufferId> reads,
                 std::vector<BufferId> writes);

  const plan::Plan& plan_;
  const plan::LayerShape& shape_;
  bool serial_;
  Schedule schedule_;
};

}  // namespace ep::schedule
