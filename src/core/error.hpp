#pragma once
#include <stdexcept>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace ep::core {

/// What the process returns to the shell; the values are part of the command-line interface.
enum class ExitCode : int {
  ok = 0,
  internal = 1,
  cuda = 2,
  communication = 3,  // MPI or NCCL
  timeout = 4,
  unsupported = 5,  // the request makes sense, but not on this machine or build
  usage = 6,        // bad command line or bad input file
  wrong_data = 7,   // results differ from the reference, or slower than the asked bound
};

/// Every error the project throws: a message for the user and the exit code it ends in.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  [[nodiscard]] ExitCode code() const noexcept { return code_; }

 private:
  ExitCode code_;
};

/// Bad input, exit code 6: always names where it stood, which field, the value found and what was wanted.
class InputError : public Error {
 public:
  InputError(std::string_view source, std::string_view field, std::string_view value, std::string_view wanted)
      : Error(ExitCode::usage, fmt::format("{}: {} = {}: {}", source, field, value, wanted)) {}
};

}  // namespace ep::core
