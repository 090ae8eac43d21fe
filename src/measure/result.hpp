#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "plan/plan.hpp"
#include "routing/routing.hpp"
#include "schedule/timeline.hpp"

namespace ep::measure {

/// The resource that decides a duration: "rank 3 egress", "node 0 memory", "compute".
struct Bottleneck {
  std::string resource;    // "egress", "ingress", "node memory", "node egress", "node ingress", "compute", "memory",
                           // "latency"
  int rank = -1;           // rank, or node for node resources; -1: none in particular
  double utilisation = 0;  // its busy time over the predicted time of the row, 0..1
  std::string step;        // name of the operation it bounds
};

/// One operation of a row. Times in microseconds; start relative to the iteration's start; of the slowest rank.
struct StepResult {
  int id = 0;
  std::string name;
  std::string kind;
  std::string stream;    // "host", "compute", "comm"
  std::string resource;  // what the model says binds it
  double start_us = 0;
  double measured_us = 0;               // median over iterations of the slowest rank
  double predicted_us = 0;              // in the schedule, slowed by what runs beside it
  double predicted_alone_us = 0;        // with nothing beside it
  std::optional<std::int64_t> bytes{};  // payload or memory traffic it moves, summed over ranks; null: it moves none
  std::vector<int> waits{};  // ids of the steps it waits for beyond stream order (schedule::Operation::waits)
};

/// What one rank saw. Medians over iterations, microseconds.
struct RankResult {
  int rank = 0;
  std::string host;
  double lateness_us = 0;  // its start minus the earliest
  std::optional<double> exposed_us{};
  std::optional<double> overlap_efficiency{};
  std::optional<double> compute_interference{};
  double iteration_us = 0;
};

/// What is slower than its peers, and by how much: who to blame.
struct Suspect {
  std::string resource;  // "compute" of a rank; "node egress", "node ingress"
  int index = 0;         // rank, or node for node resources
  std::string host;
  double slowdown = 1;                   // its time over its peers' for the same work
  std::optional<double> waited_share{};  // of a rank's compute: part of that time it was ready and had no core
};

/// What each cause adds to a row's time once those above it are in (cost::Waterfall), microseconds. The first five are
/// predicted and sum to the predicted time; lateness is measured; what is then left of the measured time is
/// unexplained.
struct Waterfall {
  double latency_us = 0;
  double compute_us = 0;
  double transfer_us = 0;
  double skew_us = 0;
  double contention_us = 0;
  double lateness_us = 0;  // of the rank that starts last, median over iterations

  [[nodiscard]] double predicted_us() const { return latency_us + compute_us + transfer_us + skew_us + contention_us; }
};

struct CheckResult {
  bool passed = false;
  double max_relative_error = 0;
  std::int64_t tokens_checked = 0;
};

/// One strategy under one configuration: a line of the table, an element of "rows".
struct Row {
  std::string status = "ok";  // or "wrong data", "unchecked", "predicted" (not run): those print no measured time
  std::string strategy;
  std::string direction;
  std::string device;
  std::string exchange;
  std::string algorithm;
  int ranks = 0;
  int nodes = 0;
  std::int64_t tokens = 0;  // of the whole job
  std::string routing;      // as the user wrote it
  std::string placement;    // likewise
  int launches = 1;
  int iterations = 0;
  bool converged = false;
  double median_us = 0;
  double p95_us = 0;
  double max_us = 0;
  std::optional<double> ci_low_us;  // null: too few iterations for an interval
  std::optional<double> ci_high_us;
  double predicted_us = 0;
  double route_cost_ms = 0;
  std::vector<double> launch_medians_us;  // [launches]
  Bottleneck bottleneck;
  Bottleneck runner_up;
  Waterfall waterfall;
  std::vector<Suspect> suspects;  // slowest first
  plan::ByteCounts dispatch_bytes;
  plan::ByteCounts combine_bytes;
  std::optional<double> exposed_us;  // of the slowest rank; null with one rank or nothing to overlap
  std::optional<double> overlap_efficiency;
  std::optional<double> compute_interference;
  std::vector<RankResult> per_rank;
  std::vector<StepResult> steps;
  CheckResult check;
  std::vector<schedule::Span> measured_spans;  // of the iteration nearest the median, for --trace
  std::vector<schedule::Span> predicted_spans;
};

/// The row's status, never better than its check allows.
inline std::string_view status_of(const Row& row) {
  if (row.status != "ok") return row.status;
  return row.check.tokens_checked == 0 ? "unchecked" : row.check.passed ? "ok" : "wrong data";
}

/// True when the row's times may be shown: it ran, and its results were checked and right.
inline bool trusted(const Row& row) {
  return status_of(row) == "ok";
}

/// What neither the model nor lateness accounts for, of a row that was measured; negative: it was faster. Microseconds.
inline double unexplained_us(const Row& row) {
  return row.median_us - row.waterfall.predicted_us() - row.waterfall.lateness_us;
}

/// 100 * (predicted - measured) / measured.
inline double error_percent(double predicted, double measured) {
  return 100.0 * (predicted - measured) / measured;
}

/// A strategy that `--strategy auto` weighed: what the model says of it. Microseconds.
struct Candidate {
  std::string strategy;
  double predicted_us = 0;  // iteration time
  double compute_us = 0;    // of it, the compute stream of the rank that computes longest; the rest is exposed
};

/// What `--strategy auto` chose, and from what.
struct Choice {
  std::string strategy;               // of the row that ran it
  std::vector<Candidate> candidates;  // shortest predicted time first
};

/// A named value of a report, with its type kept for JSON.
using Value = std::variant<std::string, std::int64_t, double, bool>;
using Values = std::vector<std::pair<std::string, Value>>;

/// Everything a run leaves behind.
struct Report {
  bool emulated = false;
  Values provenance;         // "version", "revision", "cpu", "mpi", hosts, binding, arguments, …
  Values config;             // every option in force, by its flag's name ("shared-ffn") and as the user would write it
  std::string clock_source;  // "shared" (same boot and time namespace) or "ping-pong"
  double clock_uncertainty_us = 0;  // 0 for a shared clock
  routing::Skew skew;
  std::uint64_t routing_hash = 0;
  std::vector<std::string> notes;  // what the reader should know, one sentence each
  std::vector<Row> rows;
  std::optional<Choice> choice{};  // null unless `auto` was asked for
};

}  // namespace ep::measure
