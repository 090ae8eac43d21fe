#pragma once

namespace ep::exchange {

/// How a thread waits between two polls, of MPI or of memory, that found nothing, so that a slow link or a late rank
/// does not take the core that compute needs. After polling for a while it sleeps, a share of the time it has waited,
/// which delays what arrives by half of that share on average.
struct Patience {
  double poll_us = 0;
  double share = 0;
  double longest_sleep_us = 0;
  /// Waits that follow one longer than poll_us are not polled but begin with a sleep of half of what is expected.
  bool learns = false;
  /// Between polls the core is offered to others. MPI's polls do so by themselves when MPI is set to (Open MPI is with
  /// more ranks than slots); polls of memory do not.
  bool yields = false;
};

/// Within a node what is awaited is a copy under way, and each sleep would show in its time.
constexpr Patience kWithinNode{1000, 1.0 / 16, 50, false};
constexpr Patience kForNeighbours{1000, 1.0 / 16, 50, false, true};
/// Over a network even a fast message takes longer than a sleep costs. One that MPI moves in parts waits for each poll.
constexpr Patience kBetweenNodes{80, 1.0 / 16, 50, false};
/// Fragments of a long message follow one another at the pace of the link, which has others when one is noticed late.
constexpr Patience kForFragments{80, 1.0 / 2, 500, true};

/// One wait.
class Backoff {
 public:
  /// @param expected_us how long waits of this kind have taken of late; 0: not known
  Backoff(const Patience& patience, double expected_us) : patience_(patience), expected_us_(expected_us) {}
  void pause();
  /// What to expect of the next wait, after this one.
  [[nodiscard]] double learned_us() const;

 private:
  Patience patience_;
  double expected_us_;
  double since_us_ = -1;
};

}  // namespace ep::exchange
