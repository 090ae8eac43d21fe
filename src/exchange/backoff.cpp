#include "exchange/backoff.hpp"

#include <algorithm>
#include <chrono>
#include <sys/prctl.h>
#include <thread>

#include "core/clock.hpp"

namespace ep::exchange {
namespace {

/// For less than this the core is not offered to others: asking takes a good part of it.
constexpr double kOwnCoreUs = 1;

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
  const bool long_wait = patience_.learns && expected_us_ > patience_.poll_us;
  if (waited < patience_.poll_us && !long_wait) {
    if (patience_.yields && waited > kOwnCoreUs) std::this_thread::yield();
    return;
  }
  const double to_half = long_wait ? 0.5 * expected_us_ - waited : 0;
  sleep(std::min(std::max(waited * patience_.share, to_half), patience_.longest_sleep_us));
}

double Backoff::learned_us() const {
  const double waited = since_us_ < 0 ? 0 : core::now_us() - since_us_;
  // A long wait is believed at once; short ones in between, as when a send and a receive end together, are not.
  return std::max(waited, 0.5 * (waited + expected_us_));
}

}  // namespace ep::exchange
