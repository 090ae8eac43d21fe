#pragma once
#include <version>
#ifdef __cpp_lib_source_location
#include <source_location>
#endif

namespace ep::core {

#ifdef __cpp_lib_source_location
using SourceLocation = std::source_location;
#else
/// clang 14 lacks the builtin behind std::source_location; these two it has.
class SourceLocation {
 public:
  static constexpr SourceLocation current(const char* file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
    return {file, line};
  }
  [[nodiscard]] constexpr const char* file_name() const { return file_; }
  [[nodiscard]] constexpr unsigned line() const { return line_; }

 private:
  constexpr SourceLocation(const char* file, unsigned line) : file_(file), line_(line) {}
  const char* file_;
  unsigned line_;
};
#endif

}  // namespace ep::core
