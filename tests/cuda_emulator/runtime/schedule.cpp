// Streams of the engine: what may run next, and the order that follows from it.
#include <algorithm>

#include <fmt/format.h>

#include "cuda_emulator/api/graph.hpp"
#include "cuda_emulator/runtime/config.hpp"
#include "cuda_emulator/runtime/engine.hpp"
#include "cuda_emulator/runtime/report.hpp"

namespace ep::emulator {

Stream* Engine::create_stream(bool blocking, int priority) {
  auto* stream = new CUstream_st;  // never freed: a use after destruction must be told
  stream->id = static_cast<int>(streams_.size()) + 1;
  stream->blocking = blocking;
  stream->priority = priority;
  stream->urgency = schedule_random_.below(1000);
  streams_.push_back(stream);
  return stream;
}

Stream& Engine::stream(cudaStream_t handle) {
  if (handle == nullptr || handle == cudaStreamLegacy) return *streams_.front();
  if (handle == cudaStreamPerThread) fail("unsupported", "the per-thread default stream");
  const auto found = std::find(streams_.begin(), streams_.end(), handle);
  if (found == streams_.end()) fail("bad-handle", "no such stream");
  if ((*found)->destroyed) fail("bad-handle", fmt::format("stream {} was destroyed", (*found)->id));
  return **found;
}

cudaError_t Engine::submit(Stream& stream, Task task, std::span<const OperationPtr> after, OperationPtr* out) {
  if (out != nullptr) out->reset();
  if (sticky_error_ != cudaSuccess) return sticky_error_;
  if (stream.held_by != nullptr) {
    fail("nccl-in-progress",
         fmt::format("{} on stream {}, on which an NCCL operation is still being enqueued: ncclCommGetAsyncError has "
                     "not said ncclSuccess",
                     task.name, stream.id));
  }
  if (stream.capture != nullptr) return capture_task(stream, std::move(task));
  if (const cudaError_t error = refuse_legacy_during_capture(stream); error != cudaSuccess) return error;
  OperationPtr operation = enqueue(stream, std::move(task), after);
  if (out != nullptr) *out = operation;
  offer_progress();
  return cudaSuccess;
}

void Engine::add_dependency(Operation& operation, const OperationPtr& on) const {
  if (on == nullptr) return;
  join(operation.clock, on->clock);
  if (!on->done) operation.waits_for.push_back(on);
}

OperationPtr Engine::enqueue(Stream& stream, Task task, std::span<const OperationPtr> after) {
  auto operation = std::make_shared<Operation>();
  operation->index = ++operations_;
  operation->stream = &stream;
  operation->position = ++stream.enqueued;
  operation->task = std::move(task);
  add_dependency(*operation, stream.last);
  if (stream.id == 1) {
    for (const Stream* each : streams_) {
      if (each->blocking) add_dependency(*operation, each->last);
    }
  } else if (stream.blocking) {
    add_dependency(*operation, streams_.front()->last);
  }
  for (const OperationPtr& each : after) add_dependency(*operation, each);
  if (const auto& serial = operation->task.serial; serial != nullptr) {
    if (*serial != nullptr && !(*serial)->done) operation->serial_before = *serial;
    *serial = operation;
  }
  join(operation->clock, host_clock_);
  const auto id = static_cast<std::size_t>(stream.id);
  if (operation->clock.size() <= id) operation->clock.resize(id + 1);
  operation->clock[id] = operation->position;
  operation->clock[0] = std::max(operation->clock[0], host_position_++);
  stream.queue.push_back(operation);
  stream.last = operation;
  return operation;
}

void Engine::acquire(const OperationPtr& operation) {
  if (operation != nullptr) join(host_clock_, operation->clock);
}

VectorClock Engine::release() {
  VectorClock released = host_clock_;
  if (released.empty()) released.resize(1);
  released[0] = std::max(released[0], host_position_++);
  return released;
}

bool Engine::quiescent() const {
  return std::all_of(streams_.begin(), streams_.end(), [this](const Stream* stream) { return quiescent(*stream); });
}

bool Engine::quiescent(const Stream& stream) const {
  const auto id = static_cast<std::size_t>(stream.id);
  const std::uint32_t known = id < host_clock_.size() ? host_clock_[id] : 0;
  return stream.queue.empty() && known >= stream.enqueued;
}

bool Engine::step() {
  if (const OperationPtr next = choose(); next != nullptr) {
    start(next);
    return true;
  }
  return poll();
}

OperationPtr Engine::choose() {
  std::vector<Stream*> ready;
  for (Stream* stream : streams_) {
    if (stream->queue.empty() || stream->queue.front()->started) continue;
    const Operation& front = *stream->queue.front();
    const bool free = std::all_of(front.waits_for.begin(), front.waits_for.end(),
                                  [](const OperationPtr& each) { return each->done; });
    if (free && (front.serial_before == nullptr || front.serial_before->done)) ready.push_back(stream);
  }
  if (ready.empty()) return nullptr;
  if (config().streams == StreamOrder::eager) {
    const auto oldest = std::min_element(ready.begin(), ready.end(), [](const Stream* a, const Stream* b) {
      return a->queue.front()->index < b->queue.front()->index;
    });
    return (*oldest)->queue.front();
  }
  // The most urgent stream starves the others until urgencies change.
  if (schedule_random_.one_in(8)) {
    for (Stream* stream : streams_) stream->urgency = schedule_random_.below(1000);
  }
  const auto most_urgent = std::max_element(ready.begin(), ready.end(),
                                            [](const Stream* a, const Stream* b) { return a->urgency < b->urgency; });
  return (*most_urgent)->queue.front();
}

void Engine::start(const OperationPtr& operation) {
  operation->started = true;
  // What they have learnt since this one was enqueued.
  for (const OperationPtr& each : operation->waits_for) join(operation->clock, each->clock);
  if (!run(operation)) in_flight_.push_back(operation);
}

bool Engine::run(const OperationPtr& operation) {
  current_ = operation;
  set_current_operation(&operation->task.name);
  const bool done = operation->task.work();
  set_current_operation(nullptr);
  current_.reset();
  if (!done) return false;
  operation->done = true;
  operation->finished = std::chrono::steady_clock::now();
  operation->waits_for.clear();
  operation->serial_before.reset();
  operation->task.work = nullptr;
  operation->task.serial = nullptr;
  operation->stream->queue.pop_front();
  return true;
}

bool Engine::poll() {
  bool progressed = false;
  for (std::size_t i = 0; i < in_flight_.size();) {
    if (run(in_flight_[i])) {
      in_flight_.erase(in_flight_.begin() + static_cast<std::ptrdiff_t>(i));
      progressed = true;
    } else {
      ++i;
    }
  }
  for (const Service& service : services_) progressed |= service.poll();
  return progressed;
}

}  // namespace ep::emulator
