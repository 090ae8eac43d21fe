#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ep::published {

enum class Route : std::uint8_t { uniform, stride };
enum class Kind : std::uint8_t { normal, low_latency };
/// What the published number is: a time, or bytes by some count over the time.
enum class Metric : std::uint8_t { us, total_ms, gbs_rdma, gbs_nvl, gbs_selection };

/// One published measurement of an expert-parallel exchange; docs/predict.md says what each column means.
struct Row {
  int line = 0;  // of the file
  std::string source;
  std::string hw;
  double nic_gbs = 0;     // one rank's, one direction
  double nvlink_gbs = 0;  // likewise
  int ranks = 0;
  int ranks_per_node = 0;
  std::int64_t tokens_per_rank = 0;
  int topk = 0;
  int experts = 0;
  int groups_limit = 0;  // a token's experts lie on at most this many nodes; 0: on any
  Route route{};
  Kind kind{};
  std::int64_t dispatch_payload = 0;  // bytes of one token
  std::int64_t combine_payload = 0;
  Metric metric{};
  double dispatch = 0;            // in the unit of `metric`; of total_ms both together
  std::optional<double> combine;  // null for total_ms

  [[nodiscard]] int nodes() const { return (ranks + ranks_per_node - 1) / ranks_per_node; }
};

/// Reads a CSV file: lines that begin with # are comments, then a header with exactly the columns of docs/predict.md,
/// then a row a line, without quotes. Throws InputError naming `source`, line, column and value.
std::vector<Row> parse_rows(std::string_view text, std::string_view source);

}  // namespace ep::published
