#include "device/cpu_stream.hpp"

#include <unistd.h>
#include <utility>

#include "core/clock.hpp"
#include "core/error.hpp"

namespace ep::device {
namespace {

constexpr double kSpinUs = 10;  // about what going to sleep and being woken costs; longer would burn a shared core

template <class Condition>
void spin_until(Condition condition) {
  const double until_us = core::now_us() + kSpinUs;
  while (!condition() && core::now_us() < until_us) {
  }
}

}  // namespace

void CpuMark::reach() noexcept {
  time_us_ = core::now_us();
  {
    const std::lock_guard lock(mutex_);
    reached_.store(true, std::memory_order_release);
  }
  reached_now_.notify_all();  // costs no system call unless somebody sleeps
}

void CpuMark::await() const {
  spin_until([this] { return reached(); });
  if (reached()) return;
  std::unique_lock lock(mutex_);
  reached_now_.wait(lock, [this] { return reached(); });
}

const std::shared_ptr<CpuMark>& CpuEvent::latest() const {
  if (latest_ == nullptr) throw core::Error(core::ExitCode::internal, "an event was used before it was recorded");
  return latest_;
}

void CpuStop::stop(std::exception_ptr error) noexcept {
  const std::lock_guard lock(mutex_);
  if (error_ == nullptr) error_ = std::move(error);
  stopped_.store(true, std::memory_order_release);
}

void CpuStop::rethrow() const {
  if (!stopped()) return;
  std::exception_ptr error;
  {
    const std::lock_guard lock(mutex_);
    error = error_;
  }
  if (error != nullptr) std::rethrow_exception(error);
}

CpuStream::CpuStream(CpuStop& stop) : stop_(stop), worker_([this] { serve(); }) {}

CpuStream::~CpuStream() {
  stop_.stop(nullptr);
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    pending_.store(true, std::memory_order_release);
  }
  arrived_.notify_one();
  worker_.join();
}

void CpuStream::enqueue(std::function<void()> work) {
  push({.work = std::move(work), .reach = nullptr, .await = nullptr});
}

void CpuStream::record(std::shared_ptr<CpuMark> mark) {
  push({.work = nullptr, .reach = std::move(mark), .await = nullptr});
}

void CpuStream::wait(std::shared_ptr<const CpuMark> mark) {
  if (!mark->reached()) push({.work = nullptr, .reach = nullptr, .await = std::move(mark)});
}

void CpuStream::push(Item item) {
  {
    const std::lock_guard lock(mutex_);
    items_.push_back(std::move(item));
    pending_.store(true, std::memory_order_release);
  }
  arrived_.notify_one();  // costs no system call unless the worker sleeps
}

/// Takes all there is, so that the two sides meet at the lock once a batch; false at the end.
bool CpuStream::take(std::vector<Item>& batch) {
  batch.clear();
  spin_until([this] { return pending_.load(std::memory_order_acquire); });
  std::unique_lock lock(mutex_);
  arrived_.wait(lock, [this] { return ending_ || !items_.empty(); });
  pending_.store(ending_, std::memory_order_relaxed);
  batch.swap(items_);
  return !batch.empty();
}

void CpuStream::serve() {
  thread_.store(gettid(), std::memory_order_relaxed);
  std::vector<Item> batch;
  while (take(batch))
    for (Item& item : batch) run(item);
}

void CpuStream::run(Item& item) noexcept {
  if (item.reach != nullptr) return item.reach->reach();
  if (item.await != nullptr) return item.await->await();
  if (stop_.stopped()) return;
  try {
    item.work();
  } catch (...) {
    stop_.stop(std::current_exception());
  }
}

}  // namespace ep::device
