#include "core/step.hpp"

#include <mutex>

#include "core/clock.hpp"

namespace ep::core {
namespace {

/// One for the process, as it has one host thread; what hangs may be anywhere, so anything may say where it is.
struct Current {
  std::mutex mutex;
  Step step{"start", "", now_us()};
};

Current& current() {
  static Current one;
  return one;
}

}  // namespace

void enter_step(std::string_view where, std::string_view what) {
  Current& one = current();
  const std::lock_guard lock(one.mutex);
  one.step.where = where;
  one.step.what = what;
  one.step.since_us = now_us();
}

void enter_step(std::string_view what) {
  Current& one = current();
  const std::lock_guard lock(one.mutex);
  one.step.what = what;
  one.step.since_us = now_us();
}

Step current_step() {
  Current& one = current();
  const std::lock_guard lock(one.mutex);
  return one.step;
}

}  // namespace ep::core
