#pragma once
#include <atomic>
#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "device/device.hpp"

namespace ep::device {

/// One passing of one point in a stream: reached once, at a time that stays.
class CpuMark {
 public:
  void reach() noexcept;
  /// Blocks until reached; sleeps after a spin of some ten microseconds.
  void await() const;
  [[nodiscard]] bool reached() const noexcept { return reached_.load(std::memory_order_acquire); }
  /// core::now_us() of reach(). @pre reached()
  [[nodiscard]] double time_us() const noexcept { return time_us_; }

 private:
  double time_us_ = 0;
  std::atomic<bool> reached_{false};
  // Not std::atomic::wait: libstdc++ yields before it sleeps, and on a shared core a yield costs a time slice.
  mutable std::mutex mutex_;
  mutable std::condition_variable reached_now_;
};

/// Names the latest record. Each record is a mark of its own, so waits keep the one they were enqueued with, in
/// whatever order the streams get there, and an Event may go before the streams have passed it.
class CpuEvent final : public Event {
 public:
  [[nodiscard]] std::shared_ptr<CpuMark> renew() { return latest_ = std::make_shared<CpuMark>(); }
  /// Throws Error (internal) when never recorded.
  [[nodiscard]] const std::shared_ptr<CpuMark>& latest() const;

 private:
  std::shared_ptr<CpuMark> latest_;
};

/// What stops the streams of one device: the first exception of any of their closures, or the device's end.
class CpuStop {
 public:
  /// The first error stays; null stops without one.
  void stop(std::exception_ptr error) noexcept;
  [[nodiscard]] bool stopped() const noexcept { return stopped_.load(std::memory_order_acquire); }
  /// Throws the error that stopped the streams, each time it is asked.
  void rethrow() const;

 private:
  std::atomic<bool> stopped_{false};
  mutable std::mutex mutex_;
  std::exception_ptr error_;
};

/// A worker thread with a FIFO. A closure that throws stops the device's streams: closures that follow are skipped and
/// Device::synchronize rethrows the exception, while marks are still reached and waits still end, so nobody is left
/// waiting. Enqueueing is safe from any thread.
class CpuStream final : public Stream {
 public:
  explicit CpuStream(CpuStop& stop);
  /// Skips closures that have not started and waits for the one that has.
  ~CpuStream() override;

  void enqueue(std::function<void()> work);
  void record(std::shared_ptr<CpuMark> mark);
  void wait(std::shared_ptr<const CpuMark> mark);
  /// Of the worker, 0 before it has begun to serve.
  [[nodiscard]] pid_t thread() const noexcept { return thread_.load(std::memory_order_relaxed); }

 private:
  struct Item {
    std::function<void()> work;  // or, when empty, a mark
    std::shared_ptr<CpuMark> reach;
    std::shared_ptr<const CpuMark> await;
  };
  void push(Item item);
  void serve();
  bool take(std::vector<Item>& batch);
  void run(Item& item) noexcept;

  CpuStop& stop_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<Item> items_;
  std::atomic<bool> pending_{false};  // items_ is not empty, or ending_: what the idle worker polls before it sleeps
  bool ending_ = false;
  std::atomic<pid_t> thread_{0};
  std::thread worker_;  // last: it uses all of the above
};

}  // namespace ep::device
