#include "core/parse.hpp"

#include <charconv>
#include <cmath>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>

#include "core/error.hpp"

namespace ep::core {

namespace {

constexpr std::string_view kCommandLine = "command line";

/// Reads at most limit + 1 bytes, so that an endless input (/dev/zero) cannot fill the memory.
std::string read_stream(std::istream& stream, std::int64_t limit_bytes) {
  std::string content;
  std::string block(1 << 16, '\0');
  while (static_cast<std::int64_t>(content.size()) <= limit_bytes && stream) {
    stream.read(block.data(), static_cast<std::streamsize>(block.size()));
    content.append(block, 0, static_cast<std::size_t>(stream.gcount()));
  }
  return content;
}

}  // namespace

std::int64_t parse_size(std::string_view word, std::string_view field) {
  constexpr std::string_view kWanted = "wanted a whole number, optionally with K, M or G (powers of 1024)";
  std::int64_t value = 0;
  const char* const end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data(), end, value);
  if (error != std::errc{} || value < 0) throw InputError(kCommandLine, field, word, kWanted);
  const std::string_view suffix(stop, static_cast<std::size_t>(end - stop));
  if (suffix.empty()) return value;
  if (suffix == "K" || suffix == "k") return checked_product(value, std::int64_t{1} << 10, field);
  if (suffix == "M" || suffix == "m") return checked_product(value, std::int64_t{1} << 20, field);
  if (suffix == "G" || suffix == "g") return checked_product(value, std::int64_t{1} << 30, field);
  throw InputError(kCommandLine, field, word, kWanted);
}

double parse_number(std::string_view word, std::string_view field) {
  double value = 0;
  const char* const end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data(), end, value);
  if (error != std::errc{} || stop != end || !std::isfinite(value)) {
    throw InputError(kCommandLine, field, word, "wanted a finite number");
  }
  return value;
}

std::string input_name(const std::string& path) {
  return path == "-" ? "standard input" : path;
}

std::string read_file(const std::string& path, std::int64_t limit_bytes) {
  const std::string source = input_name(path);
  std::string content;
  if (path == "-") {
    content = read_stream(std::cin, limit_bytes);
    if (std::cin.bad()) throw InputError(source, "file", "unreadable", "reading failed");
  } else {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw InputError(source, "file", "unreadable", "it does not exist or cannot be opened");
    content = read_stream(file, limit_bytes);
    if (file.bad()) throw InputError(source, "file", "unreadable", "reading failed");
  }
  if (static_cast<std::int64_t>(content.size()) > limit_bytes) {
    throw InputError(source, "file size", fmt::format("over {} bytes", limit_bytes), "too large");
  }
  return content;
}

std::int64_t checked_product(std::int64_t a, std::int64_t b, std::string_view field) {
  std::int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) {
    throw InputError("sizes", field, fmt::format("{} * {}", a, b), "does not fit in 63 bits");
  }
  return product;
}

}  // namespace ep::core
