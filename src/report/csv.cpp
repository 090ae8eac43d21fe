#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "report/report.hpp"
#include "report/totals.hpp"

namespace ep::report {
namespace {

using measure::Row;

/// One value under its column; columns and values are listed together so that they cannot drift apart.
struct Field {
  std::string_view column;
  std::string value;
};

/// RFC 4180: a field with a comma, a quote or a line break is quoted, and its quotes doubled.
std::string escaped(std::string_view field) {
  if (field.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(field);
  std::string result = "\"";
  for (const char c : field) result += c == '"' ? "\"\"" : std::string(1, c);
  return result + '"';
}

std::string fixed(std::optional<double> value, int digits = 3) {
  return value && std::isfinite(*value) ? fmt::format("{:.{}f}", *value, digits) : "";
}

std::string whole(std::int64_t value) {
  return fmt::format("{}", value);
}

using Fields = std::vector<Field>;

void add_identity(Fields& fields, const Row& row, bool emulated) {
  fields.insert(fields.end(), {{"status", std::string(measure::status_of(row))},
                               {"emulated", emulated ? "true" : "false"},
                               {"strategy", row.strategy},
                               {"direction", row.direction},
                               {"device", row.device},
                               {"exchange", row.exchange},
                               {"algorithm", row.algorithm},
                               {"ranks", whole(row.ranks)},
                               {"nodes", whole(row.nodes)},
                               {"launches", whole(row.launches)},
                               {"iterations", whole(row.iterations)},
                               {"converged", row.converged ? "true" : "false"}});
}

void add_times(Fields& fields, const Row& row) {
  const bool trusted = measure::trusted(row);
  const auto measured = [trusted](std::optional<double> value) { return trusted ? fixed(value) : std::string(); };
  fields.insert(fields.end(), {{"median_us", measured(row.median_us)},
                               {"p95_us", measured(row.p95_us)},
                               {"max_us", measured(row.max_us)},
                               {"ci_low_us", measured(row.ci_low_us)},
                               {"ci_high_us", measured(row.ci_high_us)},
                               {"predicted_us", fixed(row.predicted_us)},
                               {"error_percent", measured(measure::error_percent(row.predicted_us, row.median_us))},
                               {"route_cost_ms", fixed(row.route_cost_ms, 4)},
                               {"dispatch_us", measured(total_us(row, "dispatch"))},
                               {"combine_us", measured(total_us(row, "combine"))},
                               {"exposed_us", measured(row.exposed_us)},
                               {"overlap_efficiency", measured(row.overlap_efficiency)},
                               {"compute_interference", measured(row.compute_interference)}});
}

void add_bottleneck(Fields& fields, const Row& row) {
  const auto rank = [](const measure::Bottleneck& b) { return b.rank < 0 ? std::string() : whole(b.rank); };
  const auto share = [](const measure::Bottleneck& b) { return b.resource.empty() ? "" : fixed(b.utilisation); };
  fields.insert(fields.end(), {{"bottleneck", row.bottleneck.resource},
                               {"bottleneck_rank", rank(row.bottleneck)},
                               {"bottleneck_utilisation", share(row.bottleneck)},
                               {"runner_up", row.runner_up.resource},
                               {"runner_up_rank", rank(row.runner_up)},
                               {"runner_up_utilisation", share(row.runner_up)}});
}

void add_bytes(Fields& fields, const Row& row) {
  const plan::ByteCounts& d = row.dispatch_bytes;
  const plan::ByteCounts& c = row.combine_bytes;
  fields.insert(fields.end(), {{"dispatch_useful_bytes", whole(d.useful)},
                               {"dispatch_logical_rank_bytes", whole(d.logical_rank)},
                               {"dispatch_logical_node_bytes", whole(d.logical_node)},
                               {"dispatch_wire_rank_bytes", whole(d.wire_rank)},
                               {"dispatch_wire_node_bytes", whole(d.wire_node)},
                               {"dispatch_metadata_bytes", whole(d.metadata)},
                               {"combine_useful_bytes", whole(c.useful)},
                               {"combine_logical_rank_bytes", whole(c.logical_rank)},
                               {"combine_logical_node_bytes", whole(c.logical_node)},
                               {"combine_wire_rank_bytes", whole(c.wire_rank)},
                               {"combine_wire_node_bytes", whole(c.wire_node)},
                               {"combine_metadata_bytes", whole(c.metadata)}});
}

/// Newer columns: they are only ever added at the end.
void add_problem(Fields& fields, const Row& row) {
  fields.insert(fields.end(), {{"tokens", whole(row.tokens)}, {"routing", row.routing}, {"placement", row.placement}});
}

void add_waterfall(Fields& fields, const Row& row) {
  const measure::Waterfall& w = row.waterfall;
  const bool trusted = measure::trusted(row);
  fields.insert(fields.end(), {{"latency_us", fixed(w.latency_us)},
                               {"compute_us", fixed(w.compute_us)},
                               {"transfer_us", fixed(w.transfer_us)},
                               {"skew_us", fixed(w.skew_us)},
                               {"contention_us", fixed(w.contention_us)},
                               {"lateness_us", trusted ? fixed(w.lateness_us) : ""},
                               {"unexplained_us", trusted ? fixed(measure::unexplained_us(row)) : ""}});
}

Fields fields_of(const Row& row, bool emulated) {
  Fields fields;
  add_identity(fields, row, emulated);
  add_times(fields, row);
  add_bottleneck(fields, row);
  add_bytes(fields, row);
  add_problem(fields, row);
  add_waterfall(fields, row);
  return fields;
}

template <class Part>
std::string line(const Fields& fields, Part part) {
  std::string result;
  for (const Field& field : fields) result += (result.empty() ? "" : ",") + escaped(part(field));
  return result + "\r\n";
}

}  // namespace

std::string csv(const measure::Report& report) {
  std::string result = line(fields_of(Row{}, false), [](const Field& f) { return f.column; });
  for (const Row& row : report.rows)
    result += line(fields_of(row, report.emulated), [](const Field& f) { return std::string_view(f.value); });
  return result;
}

}  // namespace ep::report
