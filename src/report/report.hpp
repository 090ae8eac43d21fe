#pragma once
#include <string>

#include "measure/result.hpp"

namespace ep::report {

/// The aligned table people read: for every row its steps (stream, measured, predicted, error), totals, bytes and GB/s
/// of each kind, bottleneck and runner-up, then the strategies compared with the gain over the first.
std::string table(const measure::Report& report);

/// The JSON document of docs/output.md, schema_version 1.
std::string json(const measure::Report& report);

/// One line a row, RFC 4180, header first.
std::string csv(const measure::Report& report);

/// Chrome/Perfetto trace: measured and predicted as two processes, every rank's lanes as threads.
std::string trace(const measure::Report& report);

/// Writes a file whole or not at all (temporary file beside it, then rename). Throws InputError naming `path`.
void write_file(const std::string& path, const std::string& content);

}  // namespace ep::report
