#include "report_sample.hpp"

#include <map>

namespace ep::report::test {
namespace {

using measure::Row;
using measure::StepResult;
using schedule::Lane;

StepResult step(const char* kind, const char* stream, const char* resource, double start_us, double measured_us,
                double predicted_us) {
  return {.name = kind,
          .kind = kind,
          .stream = stream,
          .resource = resource,
          .start_us = start_us,
          .measured_us = measured_us,
          .predicted_us = predicted_us,
          .predicted_alone_us = predicted_us};
}

std::vector<StepResult> sequential_steps() {
  std::vector<StepResult> steps = {step("bucket", "compute", "memory", 0.0, 61.2, 58.9),
                                   step("counts", "host", "latency", 63.0, 92.4, 80.0),
                                   step("pack", "compute", "node memory", 160.1, 702.5, 688.0),
                                   step("dispatch", "comm", "node memory", 868.0, 1204.6, 1120.0),
                                   step("regroup", "compute", "node memory", 2075.3, 655.1, 640.0),
                                   step("gate_up", "compute", "compute", 2733.0, 26804.0, 26410.0),
                                   step("swiglu", "compute", "memory", 29540.2, 402.3, 390.0),
                                   step("down", "compute", "compute", 29945.0, 13390.0, 13205.0),
                                   step("ungroup", "compute", "node memory", 43338.4, 648.7, 640.0),
                                   step("combine", "comm", "node memory", 43990.1, 1188.9, 1120.0),
                                   step("reduce", "compute", "memory", 45182.0, 521.4, 498.0),
                                   step("shared", "compute", "compute", 45705.2, 12121.0, 11890.0)};
  steps[3].waits = {2};
  steps[4].waits = {3};
  steps[9].waits = {8};
  steps[10].waits = {9};
  return steps;
}

std::vector<StepResult> overlapped_steps() {
  std::vector<StepResult> steps = {step("bucket", "compute", "memory", 0.0, 60.8, 58.9),
                                   step("counts", "host", "latency", 62.5, 95.0, 80.0),
                                   step("pack", "compute", "node memory", 161.4, 699.7, 688.0),
                                   step("dispatch", "comm", "node memory", 866.0, 2110.4, 1910.0),
                                   step("shared", "compute", "compute", 866.2, 6590.0, 6240.0),
                                   step("regroup", "compute", "node memory", 7458.9, 657.0, 640.0),
                                   step("gate_up", "compute", "compute", 8118.0, 26790.0, 26410.0),
                                   step("swiglu", "compute", "memory", 34910.0, 401.2, 390.0),
                                   step("down", "compute", "compute", 35313.3, 13402.0, 13205.0),
                                   step("ungroup", "compute", "node memory", 48717.9, 650.2, 640.0),
                                   step("combine", "comm", "node memory", 49370.0, 2041.3, 1910.0),
                                   step("shared", "compute", "compute", 49370.5, 6612.0, 6240.0),
                                   step("reduce", "compute", "memory", 55986.0, 524.1, 498.0)};
  steps[4].name = "shared[0]";
  steps[11].name = "shared[1]";
  for (const std::size_t slowed : {4U, 11U}) steps[slowed].predicted_alone_us = 5945.0;
  for (const std::size_t slowed : {3U, 10U}) steps[slowed].predicted_alone_us = 1120.0;
  steps[3].waits = {2};
  steps[5].waits = {3};
  steps[10].waits = {9};
  steps[12].waits = {10};
  return steps;
}

void finish_steps(Row& row) {
  const std::map<std::string, Lane> lanes = {{"host", Lane::host}, {"compute", Lane::compute}, {"comm", Lane::comm}};
  double predicted_us = 0;
  for (std::size_t i = 0; i < row.steps.size(); ++i) {
    StepResult& step = row.steps[i];
    step.id = static_cast<int>(i);
    if (step.kind == "dispatch" || step.kind == "combine") step.bytes = 2109440;
    for (const int rank : {0, 1}) {
      const double late_us = rank == 1 ? 702.0 : 0.0;
      row.measured_spans.push_back({.rank = rank,
                                    .lane = lanes.at(step.stream),
                                    .op = step.id,
                                    .start_us = step.start_us + late_us,
                                    .end_us = step.start_us + late_us + step.measured_us});
      row.predicted_spans.push_back({.rank = rank,
                                     .lane = lanes.at(step.stream),
                                     .op = step.id,
                                     .start_us = predicted_us,
                                     .end_us = predicted_us + step.predicted_us});
    }
    if (step.kind != "dispatch" && step.kind != "combine") predicted_us += step.predicted_us;
  }
}

/// What both strategies share: 512 tokens a rank, hidden 1024 in bf16, top-k 2.
Row common_row() {
  Row row;
  row.direction = "forward";
  row.device = "cpu";
  row.exchange = "mpi";
  row.algorithm = "windowed";
  row.ranks = 2;
  row.nodes = 1;
  row.launches = 3;
  row.route_cost_ms = 0.5273;
  row.dispatch_bytes = {.useful = 4194304,
                        .logical_rank = 3082240,
                        .logical_node = 2097152,
                        .wire_rank = 2109440,
                        .wire_node = 0,
                        .metadata = 128};
  row.combine_bytes = row.dispatch_bytes;
  row.combine_bytes.metadata = 0;
  row.check = {.passed = true, .max_relative_error = 3.1e-3, .tokens_checked = 192};
  row.bottleneck = {.resource = "compute", .rank = 1, .utilisation = 0.914, .step = "gate_up"};
  row.runner_up = {.resource = "node memory", .rank = 0, .utilisation = 0.074, .step = "dispatch"};
  row.suspects = {{.resource = "compute", .index = 1, .host = "alpha", .slowdown = 1.93, .waited_share = 0.47}};
  return row;
}

Row sequential_row() {
  Row row = common_row();
  row.strategy = "sequential";
  row.iterations = 93;
  row.converged = true;
  row.median_us = 57830.4;
  row.p95_us = 59120.7;
  row.max_us = 61877.0;
  row.ci_low_us = 57512.3;
  row.ci_high_us = 58240.6;
  row.predicted_us = 56739.9;
  row.waterfall = {.latency_us = 23.5,
                   .compute_us = 52106.4,
                   .transfer_us = 2310.0,
                   .skew_us = 2300.0,
                   .contention_us = 0,
                   .lateness_us = 702.0};
  row.launch_medians_us = {57830.4, 57411.9, 58960.2};
  row.per_rank = {{.rank = 0, .host = "alpha", .lateness_us = 0.0, .iteration_us = 57105.3},
                  {.rank = 1, .host = "alpha", .lateness_us = 702.0, .iteration_us = 57128.4}};
  row.steps = sequential_steps();
  finish_steps(row);
  return row;
}

Row overlapped_row() {
  Row row = common_row();
  row.strategy = "overlapped";
  row.iterations = 117;
  row.converged = false;
  row.median_us = 57210.8;
  row.p95_us = 60234.1;
  row.max_us = 64010.5;
  row.ci_low_us = 56020.2;
  row.ci_high_us = 58610.9;
  row.predicted_us = 56990.0;
  row.waterfall = {.latency_us = 23.5,
                   .compute_us = 52106.4,
                   .transfer_us = 60.1,
                   .skew_us = 2200.0,
                   .contention_us = 2600.0,
                   .lateness_us = 11.4};
  row.launch_medians_us = {56644.7, 57210.8, 58312.6};
  row.exposed_us = 2350.2;
  row.overlap_efficiency = 0.018;
  row.compute_interference = 1.089;
  row.per_rank = {{.rank = 0,
                   .host = "alpha",
                   .lateness_us = 11.4,
                   .exposed_us = 2288.1,
                   .overlap_efficiency = 0.044,
                   .compute_interference = 1.081,
                   .iteration_us = 56502.3},
                  {.rank = 1,
                   .host = "alpha",
                   .lateness_us = 0.0,
                   .exposed_us = 2350.2,
                   .overlap_efficiency = 0.018,
                   .compute_interference = 1.089,
                   .iteration_us = 56508.2}};
  row.steps = overlapped_steps();
  finish_steps(row);
  return row;
}

/// The overlapped schedule at a tenth of its time, on eight ranks of two nodes.
Row odd_row(const char* strategy, double median_us) {
  Row row = overlapped_row();
  row.strategy = strategy;
  row.device = "cuda";
  row.exchange = "nccl";
  row.algorithm = "";
  row.ranks = 8;
  row.nodes = 2;
  row.launches = 1;
  row.launch_medians_us.clear();
  row.median_us = median_us;
  row.p95_us = 1.04 * median_us;
  row.max_us = 1.11 * median_us;
  row.ci_low_us = 0.995 * median_us;
  row.ci_high_us = 1.004 * median_us;
  row.predicted_us = 5020.5;
  for (double measure::Waterfall::*cause :
       {&measure::Waterfall::latency_us, &measure::Waterfall::compute_us, &measure::Waterfall::transfer_us,
        &measure::Waterfall::skew_us, &measure::Waterfall::contention_us, &measure::Waterfall::lateness_us})
    row.waterfall.*cause *= 5020.5 / 56990.0;
  row.dispatch_bytes.wire_node = 1048576;
  row.bottleneck = {.resource = "node egress", .rank = 1, .utilisation = 0.88, .step = "dispatch"};
  row.runner_up = {.resource = "compute", .rank = -1, .utilisation = 0.31, .step = ""};
  for (StepResult& step : row.steps) {
    for (double StepResult::*time :
         {&StepResult::start_us, &StepResult::measured_us, &StepResult::predicted_us, &StepResult::predicted_alone_us})
      step.*time /= 10;
  }
  row.per_rank.clear();
  for (int rank = 0; rank < 8; ++rank)
    row.per_rank.push_back({.rank = rank,
                            .host = rank < 4 ? "alpha" : "beta",
                            .lateness_us = rank == 5 ? 212.7 : 1.5 * rank,
                            .iteration_us = 0.97 * median_us});
  return row;
}

}  // namespace

measure::Report sample_report() {
  measure::Report report;
  report.provenance = {{"version", "0.1.0"},
                       {"revision", "717198b"},
                       {"cpu", "AMD EPYC 7763 64-Core Processor"},
                       {"mpi", "Open MPI 4.1.4"},
                       {"ranks_by_host", "alpha: 0-1"},
                       {"arguments", "run --routing lognormal:0.65, --launches 3"}};
  report.config = {{"routing", "lognormal:0.65"},
                   {"experts", std::int64_t{8}},
                   {"topk", std::int64_t{2}},
                   {"tokens", std::int64_t{512}},
                   {"hidden", std::int64_t{1024}},
                   {"ffn", std::int64_t{256}},
                   {"shared-ffn", std::int64_t{256}},
                   {"dispatch-dtype", "bf16"},
                   {"combine-dtype", "bf16"},
                   {"placement", "block"},
                   {"seed", std::int64_t{1}},
                   {"time-limit", 20.0},
                   {"check", true}};
  report.clock_source = "shared";
  report.skew = {.hottest_expert_over_mean = 1.742,
                 .hottest_rank_over_mean = 1.183,
                 .entropy_over_log2_experts = 0.951,
                 .distinct_ranks_per_token = 1.470};
  report.routing_hash = 0x5b1c0de2a9f3377ULL;
  report.notes = {"two ranks share each core: expect more noise than with one rank a core"};
  report.rows = {sequential_row(), overlapped_row()};
  report.choice = {.strategy = "sequential",
                   .candidates = {{"sequential", 56739.9, 54430.0}, {"overlapped", 56990.0, 54500.0}}};
  return report;
}

measure::Report odd_report() {
  measure::Report report = sample_report();
  report.emulated = true;
  report.clock_source = "ping-pong";
  report.clock_uncertainty_us = 14.6;
  report.notes.clear();
  report.choice.reset();
  report.rows = {odd_row("sequential", 6120.4), odd_row("overlapped", 4890.1), odd_row("chunked:4", 4711.9),
                 odd_row("two-batch", 4650.0), odd_row("chunked:8", 0)};
  report.rows[2].check = {.passed = false, .max_relative_error = 0.87, .tokens_checked = 768};
  report.rows[3].check = {};
  report.rows[4].status = "predicted";
  return report;
}

}  // namespace ep::report::test
