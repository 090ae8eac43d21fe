#include "routing/npy_header.hpp"

#include <charconv>

#include <fmt/format.h>

#include "core/error.hpp"
#include "routing/file_ids.hpp"

namespace ep::routing {

namespace {

using core::InputError;

/// Recursive descent over a Python dictionary literal, of which only the three entries of a NumPy header are known.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& path) : rest_(text), path_(path) {}

  NpyHeader parse() {
    expect('{');
    while (!accept('}')) {
      entry();
      if (accept(',')) continue;
      expect('}');
      break;
    }
    skip_space();
    if (!rest_.empty()) fail("wanted nothing after the dictionary");
    if (!has_descr_ || !has_order_ || !has_shape_) fail("wanted the keys descr, fortran_order and shape");
    return std::move(header_);
  }

 private:
  [[noreturn]] void fail(std::string_view wanted) const {
    throw InputError(path_, "NumPy header", rest_.empty() ? "(end)" : excerpt(rest_), wanted);
  }

  void skip_space() {
    const auto first = rest_.find_first_not_of(" \t\r\n");
    rest_.remove_prefix(first == std::string_view::npos ? rest_.size() : first);
  }

  bool accept(std::string_view word) {
    skip_space();
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  bool accept(char symbol) { return accept(std::string_view(&symbol, 1)); }

  void expect(char symbol) {
    if (!accept(symbol)) fail(fmt::format("wanted '{}'", symbol));
  }

  std::string_view quoted(std::string_view wanted) {
    skip_space();
    const char quote = rest_.empty() ? '\0' : rest_.front();
    if (quote != '\'' && quote != '"') fail(wanted);
    const auto end = rest_.find(quote, 1);
    if (end == std::string_view::npos) fail("wanted a closing quote");
    const auto word = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    return word;
  }

  void entry() {
    const std::string_view before = rest_;
    const auto key = quoted("wanted a quoted key");
    expect(':');
    if (key == "descr" && !std::exchange(has_descr_, true)) return descr();
    if (key == "fortran_order" && !std::exchange(has_order_, true)) return order();
    if (key == "shape" && !std::exchange(has_shape_, true)) return shape();
    rest_ = before;
    fail("wanted the keys descr, fortran_order and shape, each once");
  }

  /// Byte order (<, > or |), kind (i or u), size: "<i8", "|u1". Others are floats, objects, structures.
  void descr() {
    constexpr std::string_view kWanted = "wanted an integer type (i or u of 1, 2, 4 or 8 bytes)";
    const auto type = quoted(kWanted);
    const auto bad = [&] { throw InputError(path_, "dtype", excerpt(type), kWanted); };
    if (type.size() != 3) bad();
    const auto order = std::string_view("<>|").find(type[0]);
    const auto kind = std::string_view("iu").find(type[1]);
    const auto size = std::string_view("1248").find(type[2]);
    if (order == std::string_view::npos || kind == std::string_view::npos || size == std::string_view::npos) bad();
    header_.element_bytes = std::size_t{1} << size;
    header_.is_signed = kind == 0;
    header_.big_endian = order == 1;
    if (order == 2 && header_.element_bytes != 1) bad();
  }

  void order() {
    header_.fortran_order = accept("True");
    if (!header_.fortran_order && !accept("False")) fail("wanted True or False");
  }

  void shape() {
    expect('(');
    while (!accept(')')) {
      header_.shape.push_back(extent());
      if (accept(',')) continue;
      expect(')');
      break;
    }
  }

  std::int64_t extent() {
    skip_space();
    std::int64_t value = 0;
    const auto [stop, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (error != std::errc{} || value < 0) fail("wanted a shape of whole numbers below 2^63");
    rest_.remove_prefix(static_cast<std::size_t>(stop - rest_.data()));
    return value;
  }

  std::string_view rest_;
  const std::string& path_;
  NpyHeader header_;
  bool has_descr_ = false;
  bool has_order_ = false;
  bool has_shape_ = false;
};

}  // namespace

NpyHeader parse_npy_header(std::string_view content, const std::string& path) {
  constexpr std::string_view kMagic = "\x93NUMPY";
  const auto fail = [&path](std::string_view field, const std::string& value, std::string_view wanted) {
    throw InputError(path, field, value, wanted);
  };
  const auto byte = [content](std::size_t at) {
    return static_cast<std::size_t>(static_cast<unsigned char>(content[at]));
  };
  if (!content.starts_with(kMagic)) fail("first bytes", excerpt(content), "not a NumPy .npy file");
  if (content.size() < 12) fail("file size", fmt::format("{} bytes", content.size()), "ends within the header");
  const std::size_t major = byte(6);
  if (major < 1 || major > 3) fail("NumPy format version", std::to_string(major), "wanted 1, 2 or 3");

  const std::size_t begin = major == 1 ? 10 : 12;
  std::size_t length = byte(8) | byte(9) << 8;
  if (major > 1) length |= byte(10) << 16 | byte(11) << 24;
  if (length > content.size() - begin) {
    fail("NumPy header length", std::to_string(length), fmt::format("the file has {} bytes", content.size()));
  }
  NpyHeader header = HeaderParser(content.substr(begin, length), path).parse();
  header.data_offset = begin + length;
  return header;
}

}  // namespace ep::routing
