#pragma once
#include <string>
#include <string_view>

namespace ep::emulator {

/// Exit status of a process in which a check failed.
inline constexpr int kFailureExit = 97;

/// Prints `EMULATOR ERROR [kind] rank r seed s: message`, with the operation that runs, and ends the process.
[[noreturn]] void fail(std::string_view kind, std::string_view message);

/// As `fail`, but with EP_EMU_KEEP_GOING the process runs on, up to 20 reports, and fails at its end.
void report(std::string_view kind, std::string_view message);

/// Names what the engine is doing, for messages; empty when it is idle. Set by the engine alone.
void set_current_operation(const std::string* name);

}  // namespace ep::emulator
