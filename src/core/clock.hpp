#pragma once
#include <chrono>

namespace ep::core {

/// Microseconds of this process's monotonic clock. Never MPI_Wtime: it starts at 0 in each process.
inline double now_us() {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace ep::core
