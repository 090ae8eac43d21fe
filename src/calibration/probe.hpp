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

  /// Median over `repeats` of the time from the latest start to the last end over ranks, after one unmeasured exchange.
  /// @param bytes [ranks, ranks] from row to column; the diagonal is ignored. @pre collective
  double time_us(const core::Matrix<std::int64_t>& bytes, int repeats);

  /// The same to the end of every rank, [ranks], each with a median of its own. @pre collective
  std::vector<double> rank_times_us(const core::Matrix<std::int64_t>& bytes, int repeats);

 private:
  /// [repeats][ranks] from the latest start to a rank's end.
  std::vector<std::vector<double>> samples(const core::Matrix<std::int64_t>& bytes, int repeats);

  device::Device& device_;
  exchange::Exchange& exchange_;
  const mpi::Communicator& communicator_;
  const mpi::ClockMap& clock_;
  device::Buffer send_;
  device::Buffer recv_;
};

}  // namespace ep::calibration
