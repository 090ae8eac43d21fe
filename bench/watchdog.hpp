#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "exchange/exchange.hpp"
#include "mpi/communicator.hpp"

namespace ep::bench {

/// Ends a job that hangs: when one step of the host thread (core/step.hpp) takes longer than the time-out, each rank
/// says on standard error where it is, rank 0 says who is missing, `save` gets what was finished into the files, and
/// the job ends with exit code 4. It sleeps until then, and makes no MPI call that waits for anyone (none at all where
/// MPI cannot be called by two threads: then each rank speaks for itself).
class Watchdog {
 public:
  /// @param timeout_s 0: it never bites. @pre collective
  Watchdog(const mpi::Communicator& communicator, std::string host, double timeout_s);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  /// The exchange whose progress it reports; must outlive it, or be null.
  void watch(const exchange::Exchange* exchange) { exchange_ = exchange; }

 private:
  friend class EarlyEnd;
  void guard();
  void bite(const std::string& where);
  [[nodiscard]] std::string where() const;
  void report() const;
  [[nodiscard]] std::string listen(double patience_s) const;
  void save(const std::string& why);

  mpi::Communicator communicator_;
  std::string host_;
  double timeout_s_;
  std::atomic<const exchange::Exchange*> exchange_{nullptr};
  std::int64_t exchanges_ = 0;  // begun when it bit; MPI may read it until the process ends
  std::mutex saving_;
  std::function<void(const std::string& why)> save_;
  int wake_;  // an eventfd: the end, or SIGTERM
  std::atomic<bool> ending_{false};
  std::thread thread_;  // last: it uses all of the above
};

/// While it lives on rank 0, `save` is called when the job ends before its time, or may: on a time-out, when an
/// exception passes, on SIGTERM, and on SIGCONT, with which mpirun and Slurm begin to end a job that has lost a rank or
/// run out of time. It may be called again, from another thread than before.
class EarlyEnd {
 public:
  EarlyEnd(Watchdog& watchdog, std::function<void(const std::string& why)> save);
  ~EarlyEnd();
  EarlyEnd(const EarlyEnd&) = delete;
  EarlyEnd& operator=(const EarlyEnd&) = delete;

 private:
  Watchdog& watchdog_;
  int uncaught_;
};

}  // namespace ep::bench
