#include "cuda_emulator/runtime/report.hpp"

#include <cstdio>
#include <cstdlib>
#include <unistd.h>

#include <fmt/format.h>

#include "cuda_emulator/runtime/config.hpp"

namespace ep::emulator {
namespace {

constexpr int kMaxReports = 20;
const std::string* current_operation = nullptr;
int reports = 0;

void print(std::string_view kind, std::string_view message) {
  // Not config(): a broken environment variable is reported from inside it.
  const char* seed = std::getenv("EP_EMU_SEED");
  std::string line = fmt::format("EMULATOR ERROR [{}] rank {} seed {}: {}", kind, launcher_rank(),
                                 seed != nullptr ? seed : "1", message);
  if (current_operation != nullptr) line += fmt::format(" (during {})", *current_operation);
  line += '\n';
  std::fputs(line.c_str(), stderr);
  std::fflush(stderr);
}

void fail_at_exit() {
  if (reports > 0) _exit(kFailureExit);
}

}  // namespace

void fail(std::string_view kind, std::string_view message) {
  print(kind, message);
  _exit(kFailureExit);
}

void report(std::string_view kind, std::string_view message) {
  if (!config().keep_going) fail(kind, message);
  print(kind, message);
  if (++reports == 1) std::atexit(fail_at_exit);
  if (reports >= kMaxReports) _exit(kFailureExit);
}

void set_current_operation(const std::string* name) {
  current_operation = name;
}

}  // namespace ep::emulator
