#include "bench/watchdog.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/clock.hpp"
#include "core/step.hpp"

namespace ep::bench {

namespace {

constexpr int kMostPeersNamed = 8;
constexpr double kLongestWaitS = 1e6;  // what poll() takes

std::atomic<int> wake_on_signal{-1};
std::atomic<bool> continued{false};
std::atomic<bool> terminated{false};

void on_signal(int signal) {
  (signal == SIGTERM ? terminated : continued) = true;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_on_signal, &one, sizeof(one));
}

/// Before it ends a job, Open MPI's mpirun continues the processes that may be stopped, waits for a second, and leaves
/// milliseconds between SIGTERM and SIGKILL: the first is the time to save.
constexpr int kSignals[] = {SIGCONT, SIGTERM};

/// Ranks that are a little apart when they hang get to report in this time.
double patience_s(double timeout_s) {
  return std::clamp(timeout_s / 10, 1.0, 5.0);
}

void say(const std::string& line) {
  const std::string text = "epbench: " + line + "\n";  // in one piece, whatever the other ranks write
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
}

std::string describe(const exchange::Progress& progress) {
  if (progress.started == progress.finished)
    return fmt::format("no exchange under way, {} have ended", progress.finished);
  std::string text = fmt::format("{} exchanges have ended, the next", progress.finished);
  if (*progress.name != '\0') text += fmt::format(" ({})", progress.name);
  if (progress.open.empty()) return text + " is done with all ranks";
  text += " is not done with";
  int named = 0;
  for (const exchange::Progress::Peer& peer : progress.open) {
    if (named == kMostPeersNamed) return text + fmt::format(" and {} more", progress.open.size() - kMostPeersNamed);
    text += fmt::format("{} rank {} ({} B to send, {} B to receive)", named == 0 ? "" : ",", peer.rank,
                        peer.bytes_to_send, peer.bytes_to_receive);
    ++named;
  }
  return text;
}

/// Ends the job even if MPI_Abort does not return.
[[noreturn]] void end_job() {
  std::thread([] {
    std::this_thread::sleep_for(std::chrono::seconds(5));
    std::_Exit(static_cast<int>(core::ExitCode::timeout));
  }).detach();
  mpi::abort(core::ExitCode::timeout);
}

}  // namespace

Watchdog::Watchdog(const mpi::Communicator& communicator, std::string host, double timeout_s)
    : communicator_(communicator.duplicate()),
      host_(std::move(host)),
      timeout_s_(timeout_s),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      thread_([this] { guard(); }) {}

Watchdog::~Watchdog() {
  ending_ = true;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_, &one, sizeof(one));
  thread_.join();
  close(wake_);
}

void Watchdog::guard() {
  while (!ending_) {
    const core::Step step = core::current_step();
    const double left_s = timeout_s_ > 0 ? timeout_s_ - (core::now_us() - step.since_us) / 1e6 : kLongestWaitS;
    if (left_s <= 0) bite(where());
    pollfd woken{wake_, POLLIN, 0};
    poll(&woken, 1, static_cast<int>(std::min(left_s, kLongestWaitS) * 1e3) + 1);
    std::uint64_t woken_by = 0;
    [[maybe_unused]] const ssize_t drained = read(wake_, &woken_by, sizeof(woken_by));
    if (continued.exchange(false) || terminated) save("a signal");
    if (!terminated) continue;
    std::signal(SIGTERM, SIG_DFL);
    std::raise(SIGTERM);
  }
}

std::string Watchdog::where() const {
  const core::Step step = core::current_step();
  std::string text = step.where + (step.what.empty() ? "" : ": ") + step.what;
  if (const exchange::Exchange* const exchange = exchange_; exchange != nullptr)
    text += "; " + describe(exchange->progress());
  return text;
}

/// Rank 0 speaks for all. Rank 1 does where rank 0 is the one that is missing; beyond that each rank ends by itself.
void Watchdog::bite(const std::string& where) {
  const int rank = communicator_.rank();
  say(fmt::format("rank {} on {}: no end after {} s of {}", rank, host_, timeout_s_, where));
  const exchange::Exchange* const exchange = exchange_;
  exchanges_ = exchange == nullptr ? 0 : exchange->progress().started;
  const double patience = patience_s(timeout_s_);
  int threads = MPI_THREAD_SINGLE;
  MPI_Query_thread(&threads);
  try {
    if (threads == MPI_THREAD_MULTIPLE) report();
    if (rank > 1 || threads != MPI_THREAD_MULTIPLE) {
      std::this_thread::sleep_for(std::chrono::duration<double>(3 * patience));
    } else {
      say(fmt::format("time-out (--timeout {}): {}", timeout_s_, listen((1 + rank) * patience)));
    }
  } catch (const std::exception& error) {
    say(fmt::format("rank {} on {}: {}", rank, host_, error.what()));
  }
  save("a time-out");
  end_job();
}

/// Small enough to leave at once, or to wait in a queue of MPI's own: nobody waits for anyone to take it.
void Watchdog::report() const {
  for (int to = 0; to < std::min(2, communicator_.size()); ++to) {
    if (to == communicator_.rank()) continue;
    MPI_Request request = MPI_REQUEST_NULL;
    mpi::check_mpi(MPI_Isend(&exchanges_, 1, MPI_INT64_T, to, 0, communicator_.get(), &request));
    mpi::check_mpi(MPI_Request_free(&request));
  }
}

/// Hears who else has reported, and how many exchanges each has begun.
std::string Watchdog::listen(double patience_s) const {
  constexpr std::int64_t kSilent = -1;
  std::vector<std::int64_t> reached(static_cast<std::size_t>(communicator_.size()), kSilent);
  reached[static_cast<std::size_t>(communicator_.rank())] = exchanges_;
  const double until_us = core::now_us() + patience_s * 1e6;
  while (core::now_us() < until_us && std::find(reached.begin(), reached.end(), kSilent) != reached.end()) {
    int arrived = 0;
    MPI_Status status;
    mpi::check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, 0, communicator_.get(), &arrived, &status));
    if (arrived != 0) {
      mpi::check_mpi(MPI_Recv(&reached[static_cast<std::size_t>(status.MPI_SOURCE)], 1, MPI_INT64_T, status.MPI_SOURCE,
                              0, communicator_.get(), MPI_STATUS_IGNORE));
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  const auto ranks_at = [&](auto wanted) {
    std::string ranks;
    for (std::size_t r = 0; r < reached.size(); ++r)
      if (wanted(reached[r])) ranks += fmt::format("{}{}", ranks.empty() ? "" : ",", r);
    return ranks;
  };
  const std::string missing = ranks_at([](std::int64_t n) { return n == kSilent; });
  if (!missing.empty()) return "ranks that have not reported: " + missing;
  const std::int64_t most = *std::max_element(reached.begin(), reached.end());
  const std::string behind = ranks_at([&](std::int64_t n) { return n < most; });
  if (behind.empty()) return "all ranks have reported, and all have begun as many exchanges";
  return fmt::format("all ranks have reported; ranks that have not begun exchange {}: {}", most, behind);
}

void Watchdog::save(const std::string& why) {
  const std::lock_guard lock(saving_);
  if (!save_) return;
  try {
    save_(why);
  } catch (const std::exception& error) {
    say(error.what());
  }
}

EarlyEnd::EarlyEnd(Watchdog& watchdog, std::function<void(const std::string& why)> save)
    : watchdog_(watchdog), uncaught_(std::uncaught_exceptions()) {
  if (watchdog_.communicator_.rank() != 0) return;
  {
    const std::lock_guard lock(watchdog_.saving_);
    watchdog_.save_ = std::move(save);
  }
  wake_on_signal = watchdog_.wake_;
  for (const int signal : kSignals) std::signal(signal, on_signal);
}

EarlyEnd::~EarlyEnd() {
  if (watchdog_.communicator_.rank() != 0) return;
  for (const int signal : kSignals) std::signal(signal, SIG_DFL);
  if (std::uncaught_exceptions() != uncaught_) watchdog_.save("an error");
  const std::lock_guard lock(watchdog_.saving_);
  watchdog_.save_ = nullptr;
}

}  // namespace ep::bench
