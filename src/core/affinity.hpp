#pragma once
#include <optional>
#include <string>
#include <sys/types.h>

namespace ep::core {

/// How many cores this process may run on; at least 1.
int core_count();

/// Those cores as a list of ranges: "0-3,8".
std::string core_list();

/// Time a thread of this process has spent ready to run without a core to run on, microseconds since it began; none
/// where the kernel does not count it (/proc/self/task/TID/schedstat) or the thread is gone.
std::optional<double> waited_for_core_us(pid_t thread);

/// The processor by the name it gives itself; "unknown CPU" where it gives none (aarch64).
std::string cpu_model();

}  // namespace ep::core
