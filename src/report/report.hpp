#pragma once
#include <string>
#include <string_view>

#include "measure/result.hpp"

namespace ep::report {

/// The aligned table people read: for every row its steps (stream, measured, predicted, error), totals, bytes and GB/s
/// of each kind, bottleneck and runner-up, then the strategies compared with the gain over the first.
std::string table(const measure::Report& report);

/// The same for predictions of many jobs: an aligned line a row.
std::string sweep_table(const measure::Report& report);

/// The JSON document of docs/output.md, schema_version 1. Times are rounded to the nanosecond.
std::string json(const measure::Report& report);

/// Reads what `json` wrote: json(from_json(json(r))) == json(r), so launches can be merged from the files they leave.
/// Throws InputError naming `source` (a path) when the text is no such document.
measure::Report from_json(std::string_view text, std::string_view source);

/// The same of a file of at most 1 GiB. Throws InputError naming `path`.
measure::Report read_file(const std::string& path);

/// One line a row, RFC 4180, header first.
std::string csv(const measure::Report& report);

/// Chrome/Perfetto trace: measured and predicted as two processes, every rank's lanes as threads.
std::string trace(const measure::Report& report);

/// Writes a file whole or not at all (temporary file beside it, then rename); "-" is standard output, and what is no
/// regular file (a pipe, /dev/null) is written directly. Throws InputError naming `path`.
void write_file(const std::string& path, const std::string& content);

/// Throws InputError naming `path` when write_file could not write there: to be asked before a run, not after it.
void require_writable(const std::string& path);

}  // namespace ep::report
