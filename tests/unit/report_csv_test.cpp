#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report/report.hpp"
#include "report_sample.hpp"

namespace ep::report {
namespace {

using Records = std::vector<std::vector<std::string>>;

/// A reader of RFC 4180, written from its grammar.
Records read_csv(const std::string& text) {
  Records records(1);
  std::string field;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted && c == '"' && i + 1 < text.size() && text[i + 1] == '"') {
      field += '"';
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && (c == ',' || c == '\n')) {
      records.back().push_back(field);
      field.clear();
      if (c == '\n') records.emplace_back();
    } else if (quoted || c != '\r') {
      field += c;
    }
  }
  records.pop_back();
  return records;
}

std::string value(const Records& records, std::size_t row, const std::string& column) {
  const auto& header = records.front();
  const auto found = std::find(header.begin(), header.end(), column);
  if (found == header.end()) return "no such column";
  return records[row + 1][static_cast<std::size_t>(found - header.begin())];
}

TEST(Csv, OneRecordARowAllOfTheSameWidth) {
  const Records records = read_csv(csv(test::sample_report()));
  ASSERT_EQ(records.size(), 3U);
  for (const auto& record : records) EXPECT_EQ(record.size(), records.front().size());
  EXPECT_EQ(value(records, 0, "strategy"), "sequential");
  EXPECT_EQ(value(records, 0, "median_us"), "57830.400");
  EXPECT_EQ(value(records, 0, "exposed_us"), "");
  EXPECT_EQ(value(records, 1, "exposed_us"), "2350.200");
  EXPECT_EQ(value(records, 1, "dispatch_wire_rank_bytes"), "2109440");
  EXPECT_EQ(value(records, 1, "dispatch_us"), "2110.400");
  EXPECT_EQ(value(records, 0, "runner_up"), "node memory");
}

TEST(Csv, WrongOrUncheckedResultsCarryNoTime) {
  const Records records = read_csv(csv(test::odd_report()));
  ASSERT_EQ(records.size(), 6U);
  EXPECT_EQ(value(records, 0, "emulated"), "true");
  for (const std::size_t row : {2U, 3U, 4U}) {
    EXPECT_NE(value(records, row, "status"), "ok");
    for (const char* column : {"median_us", "ci_low_us", "error_percent", "dispatch_us", "exposed_us"})
      EXPECT_EQ(value(records, row, column), "") << column;
  }
}

TEST(Csv, QuotesWhatNeedsIt) {
  measure::Report report = test::sample_report();
  report.rows[0].strategy = "a,\"b\"\nc";
  const std::string text = csv(report);
  EXPECT_NE(text.find("\"a,\"\"b\"\"\nc\""), std::string::npos);
  EXPECT_EQ(value(read_csv(text), 0, "strategy"), report.rows[0].strategy);
  EXPECT_EQ(text.substr(text.size() - 2), "\r\n");
}

TEST(Csv, ColumnsAreDocumentedInOrder) {
  std::ifstream file(std::string(EPBENCH_SOURCE_DIR) + "/docs/output.md");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::size_t position = text.find("## CSV");
  ASSERT_NE(position, std::string::npos);
  const Records header = read_csv(csv({}));
  for (const std::string& column : header.front()) {
    position = text.find("`" + column + "`", position);
    ASSERT_NE(position, std::string::npos) << column << " is missing or out of order in docs/output.md";
  }
}

}  // namespace
}  // namespace ep::report
