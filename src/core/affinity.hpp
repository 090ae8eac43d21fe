#pragma once
#include <string>

namespace ep::core {

/// How many cores this process may run on; at least 1.
int core_count();

/// Those cores as a list of ranges: "0-3,8".
std::string core_list();

/// The processor by the name it gives itself; "unknown CPU" where it gives none (aarch64).
std::string cpu_model();

}  // namespace ep::core
