#include "device/cpu_stream.hpp"

#include <utility>

#include "core/clock.hpp"
#include "core/error.hpp"

namespace ep::device {
namespace {

constexpr double kSpinUs = 2;  // about what going to sleep and being woken costs; longer would burn a shared core

}  // namespace

void CpuMark::reach() noexcept {
  time_us_ = core::now_us();
  reached_.store(1, std::memory_order_release);
  reached_.notify_all();
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

std::deque<CpuStream::Item> CpuStream::take() {
  const double until_us = core::now_us() + kSpinUs;
  while (!pending_.load(std::memory_order_acquire) && core::now_us() < until_us) {
  }
  std::unique_lock lock(mutex_);
  arrived_.wait(lock, [this] { return ending_ || !items_.empty(); });
  pending_.store(ending_, std::memory_order_relaxed);
  return std::exchange(items_, {});
}

void CpuStream::serve() {
  for (;;) {
    std::deque<Item> items = take();
    if (items.empty()) return;  // nothing left and ending
    for (Item& item : items) run(item);
  }
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
