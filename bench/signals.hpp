#pragma once
#include <array>
#include <csignal>

namespace ep::bench {

/// While it lives, signals that ask this process to end (SIGTERM, SIGINT, SIGHUP, where they are not ignored) or to go
/// on (SIGCONT), and SIGCHLD, are kept in order instead of acted on, whichever thread they come to. One at a time.
/// Throws Error (internal) if it cannot be made.
class Signals {
 public:
  Signals();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  /// Waits for the next.
  [[nodiscard]] int next() const;

  /// Lets them act again: for a child of fork, and to end by one.
  void restore() const;

 private:
  static constexpr std::array kSignals = {SIGCHLD, SIGCONT, SIGTERM, SIGINT, SIGHUP};
  std::array<struct sigaction, kSignals.size()> before_{};
  int from_ = -1;
};

}  // namespace ep::bench
