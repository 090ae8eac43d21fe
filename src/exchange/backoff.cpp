#include "exchange/backoff.hpp"

#include <algorithm>
#include <chrono>
#include <sys/prctl.h>
#include <thread>

#include "core/clock.hpp"

namespace ep::exchange {
namespace {

constexpr double kShareOfWait = 1.0 / 16;
constexpr double kLongestSleepUs = 50;

/// Linux rounds sleeps up by the thread's timer slack, 50 us unless told otherwise.
void sleep(double microseconds) {
  thread_local const int kPrecise = prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
  static_cast<void>(kPrecise);
  std::this_thread::sleep_for(std::chrono::duration<double, std::micro>(microseconds));
}

}  // namespace

void Backoff::pause() {
  const double now = core::now_us();
  if (since_us_ < 0) since_us_ = now;
  const double waited = now - since_us_;
  if (waited >= poll_us_) sleep(std::min(waited * kShareOfWait, kLongestSleepUs));
}

}  // namespace ep::exchange
