#pragma once
#include <vector>

#include "plan/plan.hpp"
#include "schedule/order.hpp"
#include "schedule/schedule.hpp"

namespace ep::schedule {

/// Appends operations of the layer to a schedule, one call each. A strategy is nothing but the order of these calls:
/// what an operation reads, writes and costs is fixed here, and its waits follow from that. A wait is added for every
/// earlier operation that touches the same data and is not ordered before it already; none is redundant.
class Builder {
 public:
  /// @param serial every operation also waits for the one before it: nothing runs beside anything.
  Builder(const plan::Plan& plan, const plan::LayerShape& shape, std::string strategy, bool serial,
          Direction direction = Direction::forward);

  [[nodiscard]] int chunks() const { return schedule_.chunks; }
  [[nodiscard]] bool has_shared() const;
  [[nodiscard]] bool quantises() const;

  void bucket(int chunk);
  void exchange_counts();    // one for all chunks; none where the plan says that all ranks know the counts
  void quantise(int chunk);  // nothing unless dispatch is fp8
  void pack(int chunk);
  void dispatch(int chunk);
  void experts(int chunk);  // regroup, gate_up, swiglu, down, ungroup
  void combine(int chunk);
  void reduce(int chunk);
  /// Part `part` of `parts` of the shared expert, an equal range of the rank's own tokens; nothing when it has none.
  void shared(int part, int parts);

  // The backward pass. Positions and counts are the forward's: nothing is bucketed or counted again.
  void gate_grad(int chunk);
  void pack_grad(int chunk);
  void dispatch_grad(int chunk);
  /// regroup.grad, down.dx, swiglu.grad, gate_up.dx, ungroup.grad; each weight gradient right after the dx of the same
  /// layer unless `defer_dw`, when experts_dw has to follow.
  void experts_grad(int chunk, bool defer_dw);
  /// down.dw, gate_up.dw. Chunk 0 goes first: it starts the sum that the others add to.
  void experts_dw(int chunk);
  void combine_grad(int chunk);
  void reduce_grad(int chunk);
  void shared_dx(int part, int parts);
  void shared_dw(int part, int parts);  // of what shared_dx(part, parts) left; part 0 first

  /// Validates and hands over the schedule.
  Schedule finish();

 private:
  Operation& add(OpKind kind, Lane lane, int part, int parts, Work work, std::vector<BufferId> reads,
                 std::vector<BufferId> writes);
  void add_expert_gemm(OpKind kind, int chunk, std::vector<BufferId> reads, BufferId out);
  void down_dw(int chunk);
  void gate_up_dw(int chunk);
  [[nodiscard]] std::vector<BufferId> written_by(OpKind kind, BufferKind buffer) const;

  const plan::Plan& plan_;
  const plan::LayerShape& shape_;
  bool serial_;
  Schedule schedule_;
  Order order_;
};

}  // namespace ep::schedule
