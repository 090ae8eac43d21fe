#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "cuda_emulator/runtime/random.hpp"
#include "cuda_emulator/runtime/stream.hpp"

namespace ep::emulator {

/// Something beside the streams that needs the engine's thread to move on, such as NCCL's bootstrap.
struct Service {
  std::function<bool()> poll;     // true when something happened
  std::function<bool()> pending;  // true while somebody waits for it
};

/// The emulated device: one thread that runs what the streams hold, in an order that a seed decides.
///
/// One lock guards all of the emulator. Host threads hold it during an API call, the engine while it works. The engine
/// works only when a host thread lets it: for a random number of steps after an enqueue, while a host thread waits for
/// an event or a stream, while one is inside MPI, and when nobody has called anything for EP_EMU_IDLE_MS. So a program
/// with one host thread runs the same way every time, up to the arrival of messages.
class Engine {
 public:
  static Engine& get();
  /// False until the program has made its first CUDA call.
  static bool exists();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // --- For host threads that hold a Guard.

  /// Puts a task behind what the stream holds and behind `after`; captured instead where the stream is capturing.
  cudaError_t submit(Stream& stream, Task task, std::span<const OperationPtr> after = {}, OperationPtr* out = nullptr);
  /// As submit, but never into a capture: what a graph launch consists of.
  OperationPtr enqueue(Stream& stream, Task task, std::span<const OperationPtr> after = {});
  /// Lets the engine run a random number of steps.
  void offer_progress();
  /// As offer_progress, for a host thread that asks again and again: it gets there in the end, also when lazy.
  void offer_polling();
  /// A coin toss that the seed decides.
  bool decide() { return host_random_.one_in(2); }
  /// Lets the engine run until `done`, which is evaluated under the lock; fails when that can never be.
  void wait_until(const std::function<bool()>& done, const std::string& what);
  /// Waits for an operation and makes it happen before what the host does next.
  void wait_for(const OperationPtr& operation, const std::string& what);
  /// The host has learnt that `operation` is done.
  void acquire(const OperationPtr& operation);

  /// What the host has done and learnt so far; what it does from now on is not in it.
  VectorClock release();

  Stream* create_stream(bool blocking, int priority);
  /// The stream behind a handle; fails for one that was destroyed or never made.
  Stream& stream(cudaStream_t handle);
  const std::vector<CUstream_st*>& streams() const { return streams_; }
  void add_service(Service service) { services_.push_back(std::move(service)); }

  /// A host thread is about to block outside the emulator: the engine runs freely until it is back.
  void host_blocks();
  void host_is_back();

  // --- For whoever runs on the engine's thread, and for the checker.

  const Operation* current() const { return current_.get(); }
  /// What runs has learnt that all up to `clock` is done.
  void learn(const VectorClock& clock) { join(current_->clock, clock); }
  const VectorClock& host_clock() const { return host_clock_; }
  std::uint32_t host_position() const { return host_position_; }
  /// Nothing is enqueued, and the host knows that all of it is done.
  bool quiescent() const;
  bool quiescent(const Stream& stream) const;
  bool on_engine_thread() const;

  /// A kernel failed: every later call that may report errors reports this one.
  void set_sticky_error(cudaError_t error) { sticky_error_ = error; }
  cudaError_t sticky_error() const { return sticky_error_; }

 private:
  friend class Guard;
  struct Waiter {
    const std::function<bool()>* done;
    const std::string* what;
    bool settled = false;
  };

  Engine();
  void loop();
  void sleep(std::unique_lock<std::mutex>& lock);
  void let_hosts_in(std::unique_lock<std::mutex>& lock, bool idle);
  void settle_waiters();
  bool may_run() const;
  bool has_work() const;
  bool step();
  void start(const OperationPtr& operation);
  bool run(const OperationPtr& operation);
  bool poll();
  OperationPtr choose();
  void grant(std::uint64_t steps);
  void fail_if_stuck(TimePoint last_progress);
  std::string describe_pending() const;
  void add_dependency(Operation& operation, const OperationPtr& on) const;

  std::mutex mutex_;
  std::condition_variable engine_wakes_;
  std::condition_variable hosts_wake_;
  std::atomic<int> hosts_at_the_door_{0};
  std::uint64_t api_calls_ = 0;
  std::uint64_t granted_steps_ = 0;
  int blocked_hosts_ = 0;
  bool runs_freely_ = false;
  int idle_polls_ = 0;
  std::list<Waiter> waiters_;

  std::vector<CUstream_st*> streams_;
  std::vector<OperationPtr> in_flight_;  // started, not done
  std::vector<Service> services_;
  OperationPtr current_;
  VectorClock host_clock_;
  std::uint32_t host_position_ = 1;
  std::uint64_t operations_ = 0;
  std::uint32_t eagerness_ = 0;
  std::uint32_t polls_without_progress_ = 0;
  cudaError_t sticky_error_ = cudaSuccess;
  Random host_random_;
  Random schedule_random_;
};

/// Holds the emulator's lock for one call. Nests within a thread.
class Guard {
 public:
  Guard();
  ~Guard();
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

  /// True where this thread holds the lock, the engine's thread included.
  static bool held();
};

/// Gives the lock up on the engine's thread while user code (a host function) runs there.
class Unguard {
 public:
  Unguard();
  ~Unguard();
  Unguard(const Unguard&) = delete;
  Unguard& operator=(const Unguard&) = delete;

 private:
  std::unique_lock<std::mutex>* lock_;
};

}  // namespace ep::emulator
