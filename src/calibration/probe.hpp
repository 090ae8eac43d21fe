#pragma once
#include <vector>

#include "core/matrix.hpp"
#include "device/device.hpp"
#include "exchange/exchange.hpp"
#include "mpi/clock_sync.hpp"
#include "mpi/communicator.hpp"
#include "placement/placement.hpp"

namespace ep::calibration {

/// Times exchanges of any traffic matrix, with buffers of its own.
class ExchangeProbe {
 public:
  /// @param max_bytes most that one rank sends or receives in one exchange.
  ExchangeProbe(device::Device& device, exchange::Exchange& exchange, const mpi::Communicator& communicator,
                const mpi::ClockMap& clock, const placement::Topology& topology, std::int64_t max_bytes);

  /// (Lower) median over `repeats` of the time from the last sender's start to the last receiver's end, after one
  /// unmeasured exchange, or over one more where there are few. Every sender starts when those it sends to are there; a
  /// receiver that copies from its neighbours' memory itself has not begun before its own start.
  /// @param bytes [ranks, ranks] from row to column; the diagonal is ignored. @pre collective
  double time_us(const core::Matrix<std::int64_t>& bytes, int repeats);

  /// [ranks] What `repeats` took to every rank's own end, from the same start for its own messages; 0 where it receives
  /// none. The shortest, since a link that cannot do it never does, and others' load passes; but an eighth of them may
  /// be shorter still, as where a receiver's thread was kept from its core and rows came in before its start.
  /// @pre collective
  std::vector<double> rank_times_us(const core::Matrix<std::int64_t>& bytes, int repeats);

 private:
  /// One exchange as every rank saw it, [ranks].
  struct Pass {
    std::vector<double> starts_us;
    std::vector<double> ends_us;
  };
  void busy();
  [[nodiscard]] double begin_us(const core::Matrix<std::int64_t>& bytes, std::int64_t rank, const Pass& pass) const;
  std::vector<Pass> passes(const core::Matrix<std::int64_t>& bytes, int repeats);

  device::Device& device_;
  exchange::Exchange& exchange_;
  const mpi::Communicator& communicator_;
  const mpi::ClockMap& clock_;
  const placement::Topology& topology_;
  device::Buffer send_;
  device::Buffer recv_;
};

}  // namespace ep::calibration
