#pragma once
#include <string>

#include "bench/options.hpp"
#include "cluster/cluster.hpp"
#include "measure/result.hpp"

namespace ep::bench {

/// How the traffic of a predicted job is had.
enum class Traffic : std::uint8_t { automatic, exact, expected };

/// One job to predict.
struct PredictedJob {
  int ranks = 0;
  int ranks_per_node = 0;
  RunOptions options;  // one value each of tokens, routing and placement
  Traffic traffic{};
};

/// Predicts every strategy of the job and adds a row each to the report; sets the report's skew, and its hash where the
/// routing is made. `automatic` makes the routing where that is quick, and takes expectations otherwise
/// (plan::expected_plan). Throws InputError.
void predict_job(const PredictedJob& job, const cluster::Cluster& cluster, measure::Report& report);

/// `epbench predict --against`: the published rows of a CSV file beside the model. Returns the table.
std::string predict_against(const std::string& csv, const std::string& constants);

}  // namespace ep::bench
