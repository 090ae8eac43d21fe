#pragma once
#include "cost/machine.hpp"
#include "cost/predict.hpp"
#include "measure/result.hpp"
#include "plan/plan.hpp"
#include "schedule/schedule.hpp"

namespace ep::bench {

/// What is predicted, and by which constants.
struct PredictionInput {
  const schedule::Schedule& schedule;
  const plan::Plan& plan;  // that the schedule was built from
  const plan::LayerShape& shape;
  const cost::Machine& machine;
};

/// Fills in what a row has without being measured: strategy and direction, nodes, predicted times of the iteration and
/// of every step, bottlenecks, bytes, route_cost. Returns what it was read from.
cost::Prediction add_prediction(measure::Row& row, const PredictionInput& input);

}  // namespace ep::bench
