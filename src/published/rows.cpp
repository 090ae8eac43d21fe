#include "published/rows.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/dtype.hpp"
#include "core/error.hpp"
#include "plan/plan.hpp"

namespace ep::published {

namespace {

constexpr std::array<std::string_view, 18> kColumns = {
    "source",        "hw",     "nic_gbs_per_gpu", "nvlink_gbs",   "ranks", "ranks_per_node", "tokens_per_rank",
    "hidden",        "topk",   "experts",         "groups_limit", "route", "kind",           "dispatch_dtype",
    "combine_dtype", "metric", "dispatch",        "combine"};

std::vector<std::string_view> split(std::string_view line) {
  std::vector<std::string_view> fields;
  while (true) {
    const std::size_t comma = line.find(',');
    fields.push_back(line.substr(0, comma));
    if (comma == std::string_view::npos) return fields;
    line.remove_prefix(comma + 1);
  }
}

/// One line of the file, whose fields are taken by column.
class Line {
 public:
  Line(std::string_view source, int number, std::string_view text)
      : source_(source), number_(number), fields_(split(text)) {
    if (fields_.size() != kColumns.size()) {
      throw core::InputError(source_, fmt::format("line {}", number_), fmt::format("{} fields", fields_.size()),
                             fmt::format("wanted {}", kColumns.size()));
    }
  }

  [[nodiscard]] std::string_view text(std::string_view column) const {
    for (std::size_t i = 0; i < kColumns.size(); ++i) {
      if (kColumns[i] == column) return fields_[i];
    }
    return {};
  }
  [[noreturn]] void fail(std::string_view column, std::string_view wanted) const {
    throw core::InputError(source_, fmt::format("line {}, {}", number_, column), text(column), wanted);
  }
  [[nodiscard]] std::string name(std::string_view column) const {
    if (text(column).empty()) fail(column, "wanted a name");
    return std::string(text(column));
  }
  [[nodiscard]] double positive(std::string_view column) const {
    const std::string_view word = text(column);
    double value = 0;
    const auto [stop, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc{} || stop != word.data() + word.size() || !std::isfinite(value) || value <= 0) {
      fail(column, "wanted a number above 0");
    }
    return value;
  }
  [[nodiscard]] int whole(std::string_view column, int least, int most = std::numeric_limits<int>::max()) const {
    const std::string_view word = text(column);
    int value = 0;
    const auto [stop, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc{} || stop != word.data() + word.size() || value < least || value > most) {
      fail(column, fmt::format("wanted a whole number from {} to {}", least, most));
    }
    return value;
  }
  /// The value whose name stands in the column.
  template <class Value, std::size_t N>
  [[nodiscard]] Value one_of(std::string_view column,
                             const std::array<std::pair<std::string_view, Value>, N>& names) const {
    std::vector<std::string_view> known;
    for (const auto& [name, value] : names) {
      if (text(column) == name) return value;
      known.push_back(name);
    }
    fail(column, fmt::format("wanted one of {}", fmt::join(known, ", ")));
  }

 private:
  std::string_view source_;
  int number_;
  std::vector<std::string_view> fields_;
};

template <class Value>
using Name = std::pair<std::string_view, Value>;
constexpr std::array kRoutes = {Name<Route>{"uniform", Route::uniform}, Name<Route>{"stride", Route::stride}};
constexpr std::array kKinds = {Name<Kind>{"normal", Kind::normal}, Name<Kind>{"low_latency", Kind::low_latency}};
constexpr std::array kMetrics = {Name<Metric>{"us", Metric::us}, Name<Metric>{"total_ms", Metric::total_ms},
                                 Name<Metric>{"gbs_rdma", Metric::gbs_rdma}, Name<Metric>{"gbs_nvl", Metric::gbs_nvl},
                                 Name<Metric>{"gbs_selection", Metric::gbs_selection}};
constexpr std::array kDTypes = {Name<core::DType>{"fp8", core::DType::e4m3},
                                Name<core::DType>{"bf16", core::DType::bf16},
                                Name<core::DType>{"fp32", core::DType::f32}};

Row read_row(const Line& line, int number) {
  constexpr int kMostRanks = 1 << 16;
  constexpr int kMostExperts = 1 << 16;
  Row row;
  row.line = number;
  row.source = line.name("source");
  row.hw = line.name("hw");
  row.nic_gbs = line.positive("nic_gbs_per_gpu");
  row.nvlink_gbs = line.positive("nvlink_gbs");
  row.ranks = line.whole("ranks", 2, kMostRanks);
  row.ranks_per_node = line.whole("ranks_per_node", 1, kMostRanks);
  row.tokens_per_rank = line.whole("tokens_per_rank", 1);
  row.experts = line.whole("experts", 1, kMostExperts);
  row.topk = line.whole("topk", 1, std::min(row.experts, 64));
  row.groups_limit = line.whole("groups_limit", 0, kMostRanks);
  row.route = line.one_of("route", kRoutes);
  row.kind = line.one_of("kind", kKinds);
  const int hidden = line.whole("hidden", 1);
  row.dispatch_payload = plan::payload_bytes(hidden, line.one_of("dispatch_dtype", kDTypes));
  row.combine_payload = plan::payload_bytes(hidden, line.one_of("combine_dtype", kDTypes));
  row.metric = line.one_of("metric", kMetrics);
  row.dispatch = line.positive("dispatch");
  if (row.metric != Metric::total_ms) row.combine = line.positive("combine");
  if (row.metric == Metric::total_ms && !line.text("combine").empty()) {
    line.fail("combine", "wanted nothing: total_ms stands in the dispatch column");
  }
  const bool reachable =
      row.groups_limit == 0 || std::int64_t{row.groups_limit} * (row.experts / row.nodes()) >= row.topk;
  if (!reachable) line.fail("groups_limit", "so few nodes do not hold topk experts");
  return row;
}

}  // namespace

std::vector<Row> parse_rows(std::string_view text, std::string_view source) {
  std::vector<Row> rows;
  bool header = false;
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with('#')) continue;
    if (header) {
      rows.push_back(read_row(Line(source, number, line), number));
    } else if (line != fmt::format("{}", fmt::join(kColumns, ","))) {
      throw core::InputError(source, fmt::format("line {}", number), "another header",
                             fmt::format("wanted {}", fmt::join(kColumns, ",")));
    }
    header = true;
  }
  if (rows.empty()) throw core::InputError(source, "rows", "none", "wanted a header and at least one row");
  return rows;
}

}  // namespace ep::published
