#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/matrix.hpp"
#include "cost/machine.hpp"

namespace ep::cost {

/// The messages of one all-to-all and what each passes on its way: when every rank is through, where ranks begin at
/// different times. The resources and their times are those of exchange_cost, which says when the last rank is through
/// if all begin at once.
class Flows {
 public:
  /// @param rows [ranks, ranks] rows that rank s sends to rank d; the diagonal does not travel.
  /// @param exchange which of the layer's it is; none: any.
  Flows(const core::Matrix<std::int64_t>& rows, std::int64_t row_bytes, const Machine& machine,
        std::optional<schedule::OpKind> exchange = std::nullopt);

  /// [ranks] when each rank has sent and received everything, if it begins at `starts_us` [ranks]. A message is under
  /// way once both its ranks have begun; a resource serves the messages under way at equal parts of its speed; one is
  /// through when the last resource on its way is done with it. m log m in messages.
  [[nodiscard]] std::vector<double> ends_us(std::span<const double> starts_us) const;

 private:
  struct Message {
    std::size_t from;
    std::size_t to;
  };
  /// A message through a resource, which would take `work_us` for it alone.
  struct Passage {
    std::size_t message;
    double work_us;
  };
  std::vector<Message> messages_;
  std::vector<std::vector<Passage>> resources_;
};

}  // namespace ep::cost
