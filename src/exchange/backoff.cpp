#include "exchange/backoff.hpp"

#include <algorithm>
#include <chrono>
#include <sched.h>
#include <sys/prctl.h>
#include <thread>

#include "core/clock.hpp"

namespace ep::exchange {
namespace {

constexpr double kEagerUs = 30;  // a small message within a node takes less
constexpr int kLongestSleepUs = 50;

/// Linux rounds sleeps up by the thread's timer slack, 50 us unless told otherwise.
void sleep(int microseconds) {
  thread_local const bool precise = prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL) == 0;
  (void)precise;
  std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
}

}  // namespace

void Backoff::pause() {
  const double now = core::now_us();
  if (idle_since_us_ < 0) idle_since_us_ = now;
  if (now - idle_since_us_ < kEagerUs) {
    sched_yield();
    return;
  }
  sleep_us_ = std::min(sleep_us_ + 5, kLongestSleepUs);
  sleep(sleep_us_);
}

}  // namespace ep::exchange
