#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace ep::report {

/// Columns as wide as their widest cell, two spaces apart, no trailing blanks.
class TextTable {
 public:
  /// @param alignment one letter a column: 'l' or 'r'
  explicit TextTable(std::string_view alignment) : alignment_(alignment) {}

  /// @pre as many cells as columns
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

  /// Every line indented by `indent` spaces and ended by a line feed.
  [[nodiscard]] std::string str(std::size_t indent) const;

 private:
  std::string alignment_;
  std::vector<std::vector<std::string>> rows_;
};

/// Breaks a paragraph at blanks into lines of at most `width`; lines after the first start with `continuation`.
std::string wrapped(std::string_view text, std::string_view continuation, std::size_t width = 120);

}  // namespace ep::report
