#pragma once
#include <string>
#include <string_view>

namespace ep::core {

/// What the host thread of this process is at, for a watchdog that asks from another thread while it hangs.
struct Step {
  std::string where;  // "overlapped", "calibration"
  std::string what;   // "counts", "waiting for the device", "barrier"
  double since_us = 0;
};

/// Says what the host thread does from now on, until it says something else. The second form stays where it was.
void enter_step(std::string_view where, std::string_view what);
void enter_step(std::string_view what);

/// From any thread.
Step current_step();

}  // namespace ep::core
