#pragma once
#include <optional>
#include <string>
#include <sys/types.h>

#include "core/unique_handle.hpp"

namespace ep::core {

/// How many cores this process may run on; at least 1.
int core_count();

/// Those cores as a list of ranges: "0-3,8".
std::string core_list();

/// How long a thread of this process has been ready to run without a core to run on. The file that tells
/// (/proc/self/task/TID/schedstat) stays open: it is read between iterations that take tens of microseconds, and to
/// open it anew each time made four ranks on two cores a quarter slower.
class CoreWait {
 public:
  explicit CoreWait(pid_t thread);

  /// Microseconds since the thread began; none where the kernel does not count them or the thread is gone.
  [[nodiscard]] std::optional<double> us() const;

 private:
  struct FilePolicy {
    using Handle = int;
    static Handle null() { return -1; }
    static void close(Handle file) noexcept;
  };
  UniqueHandle<FilePolicy> file_;
};

/// The processor by the name it gives itself; "unknown CPU" where it gives none (aarch64).
std::string cpu_model();

}  // namespace ep::core
