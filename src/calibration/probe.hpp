#pragma once
#include <vector>

#include "core/matrix.hpp"
#include "device/device.hpp"
#include "exchange/exchange.hpp"
#include "mpi/clock_sync.hpp"
#include "mpi/communicator.hpp"

namespace ep::calibration {

/// Times exchanges of any traffic matrix, with buffers of its own.
class ExchangeProbe {
 public:
  /// @param max_bytes most that one rank sends or receives in one exchange.
  ExchangeProbe(device::Device& device, exchange::Exchange& exchange, const mpi::Communicator& communicator,
                const mpi::ClockMap& clock, std::int64_t max_bytes);

  /// Median over `repeats` of the time from the latest start to the last end over ranks that send or receive anything,
  /// after one unmeasured exchange. @param bytes [ranks, ranks] from row to column; the diagonal is ignored.
  /// @pre collective
  double time_us(const core::Matrix<std::int64_t>& bytes, int repeats);

  /// [ranks] The same to every rank's own end, from the latest start of the rank and those it sends to or receives
  /// from; each a median of its own. @pre collective
  std::vector<double> rank_times_us(const core::Matrix<std::int64_t>& bytes, int repeats);

 private:
  /// One exchange as every rank saw it, [ranks].
  struct Pass {
    std::vector<double> starts_us;
    std::vector<double> ends_us;
  };
  std::vector<Pass> passes(const core::Matrix<std::int64_t>& bytes, int repeats);

  device::Device& device_;
  exchange::Exchange& exchange_;
  const mpi::Communicator& communicator_;
  const mpi::ClockMap& clock_;
  device::Buffer send_;
  device::Buffer recv_;
};

}  // namespace ep::calibration
