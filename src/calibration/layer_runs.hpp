#pragma once
#include <map>
#include <tuple>
#include <vector>

#include "calibration/calibrate.hpp"
#include "calibration/fit.hpp"
#include "layer/executor.hpp"
#include "mpi/clock_sync.hpp"

namespace ep::calibration {

/// Runs of the layer on uniform routings, from which the constants of compute and of exchanges within a node are read.
/// Every time is that of schedule::op_times, as in the rows that will be held against it; medians over repeats.
class LayerRuns {
 public:
  LayerRuns(device::Device& device, exchange::Exchange& exchange, const mpi::Communicator& communicator,
            const mpi::ClockMap& clock, const CalibrationInput& input)
      : device_(device), exchange_(exchange), communicator_(communicator), clock_(clock), input_(input) {}

  /// Repeats as often as `budget_us` holds, 1 to 200 times.
  /// @return how long one iteration took and all of them, which grows with the tokens; setting up does not.
  /// @pre collective
  struct Times {
    double once_us;
    double all_us;
  };
  Times run(std::int64_t tokens, double budget_us);

  /// Fits what was seen.
  void finish(Calibration& result) const;

 private:
  void record(const schedule::Operation& op, double us);
  void record_exchange(schedule::OpKind kind, const schedule::ExchangeWork& work, double us);
  void record_gemm(const schedule::GemmWork& work, double us);
  void record_shared(const schedule::Operation& op, double us);
  [[nodiscard]] bool backward_only() const { return input_.direction == schedule::Direction::backward; }
  void measure_interference(layer::Layer& layer, const schedule::Schedule& schedule,
                            const std::vector<double>& alone_us, int repeats);

  device::Device& device_;
  exchange::Exchange& exchange_;
  const mpi::Communicator& communicator_;
  const mpi::ClockMap& clock_;
  const CalibrationInput& input_;
  std::map<schedule::OpKind, std::vector<Sample>> memory_;
  std::map<schedule::OpKind, std::vector<Sample>> node_memory_;                            // by exchange
  std::map<std::tuple<std::int64_t, std::int64_t, bool>, std::vector<cost::Point>> gemm_;  // n, k, of weights
  double counts_us_ = 0;
  cost::Interference interference_;
};

}  // namespace ep::calibration
