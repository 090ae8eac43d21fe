#pragma once

namespace ep::exchange {

/// How long a wait polls before it sleeps. Within a node what is awaited is a copy under way, and each sleep would show
/// in its time; over a network even a fast fragment takes longer than a sleep costs.
constexpr double kPollWithinNodeUs = 1000;
constexpr double kPollBetweenNodesUs = 80;

/// What a thread does between two polls of MPI that found nothing, so that waiting for a slow link or a late rank does
/// not take the core that compute needs: after a while it sleeps, a sixteenth of the time it has waited and 50 us at
/// most, which delays what arrives by 3 % on average. Polling itself gives the core away when MPI is set to (Open MPI
/// does so by itself with more ranks than slots). One for each wait.
class Backoff {
 public:
  explicit Backoff(double poll_us) : poll_us_(poll_us) {}
  void pause();

 private:
  double poll_us_;
  double since_us_ = -1;
};

}  // namespace ep::exchange
