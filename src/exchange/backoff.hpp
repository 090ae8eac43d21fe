#pragma once

namespace ep::exchange {

/// What a thread does between two polls of MPI that found nothing: at first it gives way and polls again, later it
/// sleeps, a little longer each time up to 50 us, so that waiting for a slow link does not take the core that compute
/// needs. One for each wait.
class Backoff {
 public:
  void pause();
  [[nodiscard]] bool sleeping() const { return sleep_us_ > 0; }

 private:
  double idle_since_us_ = -1;
  int sleep_us_ = 0;
};

}  // namespace ep::exchange
