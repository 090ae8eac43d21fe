#include <cstdio>

#include "report/report.hpp"
#include "report_sample.hpp"

/// Writes one JSON list with every kind of report there is, for report_schema_test.py.
int main() {
  const auto print = [](const char* before, const ep::measure::Report& report) {
    std::fputs((before + ep::report::json(report)).c_str(), stdout);
  };
  print("[", ep::report::test::sample_report());
  print(",", ep::report::test::odd_report());
  print(",", {});
  std::fputs("]\n", stdout);
}
