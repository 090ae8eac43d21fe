#include "cuda_emulator/runtime/engine.hpp"

#include <algorithm>
#include <thread>

#include <fmt/format.h>

#include "cuda_emulator/runtime/config.hpp"
#include "cuda_emulator/runtime/protection.hpp"
#include "cuda_emulator/runtime/report.hpp"

namespace ep::emulator {
namespace {

using std::chrono::steady_clock;

// Of this thread: the lock it holds (null: none), and how often.
thread_local std::unique_lock<std::mutex>* thread_lock = nullptr;
thread_local int lock_depth = 0;
thread_local bool is_engine_thread = false;

std::atomic<bool> engine_exists = false;

}  // namespace

void join(VectorClock& into, const VectorClock& other) {
  if (into.size() < other.size()) into.resize(other.size());
  for (std::size_t i = 0; i < other.size(); ++i) into[i] = std::max(into[i], other[i]);
}

bool Engine::exists() {
  return engine_exists;
}

Engine& Engine::get() {
  // Never destroyed: its thread may still be waiting when static objects go.
  static Engine& engine = *new Engine;
  return engine;
}

Engine::Engine() : host_random_(seeded_random(1, 0)), schedule_random_(seeded_random(2, 0)) {
  create_stream(true, 0);  // the legacy default stream has id 1
  prepare_host_protection();
  std::thread([this] { loop(); }).detach();
  engine_exists = true;
}

bool Engine::on_engine_thread() const {
  return is_engine_thread;
}

void Engine::loop() {
  is_engine_thread = true;
  prepare_engine_protection();
  std::unique_lock<std::mutex> lock(mutex_);
  thread_lock = &lock;
  lock_depth = 1;
  TimePoint last_progress = steady_clock::now();
  for (;;) {
    settle_waiters();
    if (!may_run()) {
      sleep(lock);
      last_progress = steady_clock::now();
      continue;
    }
    const bool progressed = step();
    if (progressed) {
      last_progress = steady_clock::now();
      if (granted_steps_ > 0) --granted_steps_;
    } else {
      granted_steps_ = 0;
      settle_waiters();
      fail_if_stuck(last_progress);
    }
    if (granted_steps_ == 0) hosts_wake_.notify_all();
    let_hosts_in(lock, !progressed);
  }
}

void Engine::sleep(std::unique_lock<std::mutex>& lock) {
  const std::uint64_t calls_before = api_calls_;
  const auto idle = std::chrono::duration<double, std::milli>(config().idle_ms);
  const bool woken = engine_wakes_.wait_for(lock, idle) == std::cv_status::no_timeout;
  if (!woken && api_calls_ == calls_before && has_work()) runs_freely_ = true;
}

void Engine::let_hosts_in(std::unique_lock<std::mutex>& lock, bool idle) {
  constexpr int kSpins = 50;
  idle_polls_ = idle ? idle_polls_ + 1 : 0;
  if (!idle && hosts_at_the_door_ == 0) return;
  lock.unlock();
  if (idle && idle_polls_ > kSpins) {
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  } else {
    std::this_thread::yield();
  }
  // A mutex is not fair: without this the engine would take it again at once.
  for (int spin = 0; hosts_at_the_door_ > 0 && spin < kSpins; ++spin) std::this_thread::yield();
  lock.lock();
}

void Engine::settle_waiters() {
  for (Waiter& waiter : waiters_) {
    if (!waiter.settled && (*waiter.done)()) {
      waiter.settled = true;
      hosts_wake_.notify_all();
    }
  }
}

bool Engine::may_run() const {
  if (granted_steps_ > 0 || blocked_hosts_ > 0 || runs_freely_) return true;
  return std::any_of(waiters_.begin(), waiters_.end(), [](const Waiter& waiter) { return !waiter.settled; });
}

bool Engine::has_work() const {
  return std::any_of(streams_.begin(), streams_.end(), [](const Stream* stream) { return !stream->queue.empty(); }) ||
         std::any_of(services_.begin(), services_.end(), [](const Service& service) { return service.pending(); });
}

void Engine::fail_if_stuck(TimePoint last_progress) {
  const auto waiter = std::find_if(waiters_.begin(), waiters_.end(), [](const Waiter& each) { return !each.settled; });
  if (waiter == waiters_.end()) return;
  const bool others_may_help =
      !in_flight_.empty() ||
      std::any_of(services_.begin(), services_.end(), [](const Service& service) { return service.pending(); });
  const std::chrono::duration<double> stuck = steady_clock::now() - last_progress;
  if (others_may_help && stuck.count() < config().timeout_s) return;
  fail("deadlock", fmt::format("{} never completes; pending work:{}", *waiter->what, describe_pending()));
}

std::string Engine::describe_pending() const {
  std::string text;
  for (const Stream* stream : streams_) {
    if (stream->queue.empty()) continue;
    const Operation& front = *stream->queue.front();
    text +=
        fmt::format("\n    stream {}: {} {}", stream->id, front.started ? "in flight:" : "blocked:", front.task.name);
  }
  return text;
}

void Engine::offer_progress() {
  switch (config().streams) {
    case StreamOrder::lazy:
      return;
    case StreamOrder::eager:
      return grant(~std::uint64_t{0});
    case StreamOrder::random: {
      // Mostly nothing runs until somebody waits: that is what shows a missing wait.
      constexpr std::uint32_t kEagerness[] = {1, 1, 1, 2, 4};
      if (eagerness_ == 0 || host_random_.one_in(16)) eagerness_ = kEagerness[host_random_.below(5)];
      return grant(host_random_.below(eagerness_));
    }
  }
}

void Engine::offer_polling() {
  constexpr std::uint32_t kPatience = 3;
  constexpr std::uint32_t kMostSteps = 8;  // a step at a time, tests would spend half their time on waking each other
  if (polls_without_progress_++ >= kPatience || config().streams != StreamOrder::lazy) {
    polls_without_progress_ = 0;
    grant(1 + host_random_.below(kMostSteps));
  }
}

void Engine::grant(std::uint64_t steps) {
  if (steps == 0 || is_engine_thread || blocked_hosts_ > 0 || !has_work()) return;
  granted_steps_ = std::max(granted_steps_, steps);
  engine_wakes_.notify_one();
  hosts_wake_.wait(*thread_lock, [this] { return granted_steps_ == 0; });
}

void Engine::wait_until(const std::function<bool()>& done, const std::string& what) {
  if (is_engine_thread) fail("usage", fmt::format("{} inside a host function", what));
  const auto waiter = waiters_.insert(waiters_.end(), {&done, &what, false});
  engine_wakes_.notify_one();
  hosts_wake_.wait(*thread_lock, [&] { return waiter->settled; });
  waiters_.erase(waiter);
}

void Engine::wait_for(const OperationPtr& operation, const std::string& what) {
  if (operation == nullptr) return;
  if (!operation->done) wait_until([&operation] { return operation->done; }, what);
  acquire(operation);
}

void Engine::host_blocks() {
  ++blocked_hosts_;
  engine_wakes_.notify_one();
}

void Engine::host_is_back() {
  --blocked_hosts_;
}

Guard::Guard() {
  if (lock_depth++ > 0) return;
  Engine& engine = Engine::get();
  ++engine.hosts_at_the_door_;
  thread_lock = new std::unique_lock<std::mutex>(engine.mutex_);
  --engine.hosts_at_the_door_;
  engine.runs_freely_ = false;
  ++engine.api_calls_;
}

Guard::~Guard() {
  if (--lock_depth > 0) return;
  delete thread_lock;
  thread_lock = nullptr;
}

bool Guard::held() {
  return lock_depth > 0;
}

Unguard::Unguard() : lock_(thread_lock) {
  thread_lock = nullptr;
  lock_depth = 0;
  lock_->unlock();
}

Unguard::~Unguard() {
  lock_->lock();
  thread_lock = lock_;
  lock_depth = 1;
}

}  // namespace ep::emulator
