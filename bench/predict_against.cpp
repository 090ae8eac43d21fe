#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "bench/predict.hpp"
#include "core/median.hpp"
#include "core/parse.hpp"
#include "published/score.hpp"
#include "report/text_table.hpp"

namespace ep::bench {

namespace {

using published::Score;

struct Column {
  const char* name;
  double Score::*predicted_us;
  const char* meaning;
};
constexpr Column kColumns[] = {
    {"datasheet", &Score::datasheet_us, "the row's own NIC and NVLink bandwidth, no latency"},
    {"fitted", &Score::constants_us, "the constants file"},
    {"left out", &Score::left_out_us, "constants fitted to every other row"},
};

std::string summary(const std::vector<Score>& scores) {
  report::TextTable table("lrrl");
  table.add({"absolute error", "median", "worst", "of"});
  for (const Column& column : kColumns) {
    std::vector<double> errors = published::errors_percent(scores, column.predicted_us);
    for (double& error : errors) error = std::abs(error);
    table.add({column.name, fmt::format("{:.1f}%", core::median(errors)),
               fmt::format("{:.1f}%", *std::max_element(errors.begin(), errors.end())), column.meaning});
  }
  return table.str(0);
}

std::string constants_table(const std::vector<published::Row>& rows, const published::Constants& constants) {
  const published::Constants fitted = published::fit(rows, published::figures(rows, constants), constants, -1);
  report::TextTable table("lrrr");
  table.add({"constants fitted to all rows", "NIC GB/s", "copy GB/s", "latency us"});
  for (const auto& [name, hardware] : fitted.hardware) {
    table.add({name, fmt::format("{:.1f}", hardware.nic_gbs), fmt::format("{:.1f}", hardware.copy_gbs), "-"});
  }
  for (const auto& [name, library] : fitted.libraries) {
    table.add({name, "-", fmt::format("{:.1f}", library.copy_gbs), fmt::format("{:.1f}", library.latency_us)});
  }
  return table.str(0);
}

}  // namespace

std::string predict_against(const std::string& csv, const std::string& constants_path) {
  constexpr std::int64_t kMostBytes = std::int64_t{4} << 20;
  const std::vector<published::Row> rows =
      published::parse_rows(core::read_file(csv, kMostBytes), core::input_name(csv));
  const published::Constants constants =
      published::parse_constants(core::read_file(constants_path, kMostBytes), core::input_name(constants_path));
  const std::vector<Score> scores = published::score(rows, constants);
  report::TextTable table("llrrlrrrrrl");
  table.add({"source", "hardware", "ranks", "tokens", "exchange", "published us", "left out us", "datasheet", "fitted",
             "left out", "bound by"});
  for (const Score& score : scores) {
    const published::Row& row = rows[score.figure.row];
    const auto error = [&](double predicted_us) {
      return fmt::format("{:+.1f}%", measure::error_percent(predicted_us, score.figure.measured_us));
    };
    table.add({row.source, row.hw, fmt::format("{}", row.ranks), fmt::format("{}", row.tokens_per_rank),
               std::string(score.figure.what), fmt::format("{:.1f}", score.figure.measured_us),
               fmt::format("{:.1f}", score.left_out_us), error(score.datasheet_us), error(score.constants_us),
               error(score.left_out_us), score.bound});
  }
  return "# published times beside the model; errors: (predicted - published) / published\n" + table.str(0) + "\n" +
         summary(scores) + "\n" + constants_table(rows, constants);
}

}  // namespace ep::bench
