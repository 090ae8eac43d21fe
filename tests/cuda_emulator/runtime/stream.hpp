#pragma once
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <cuda_runtime.h>

namespace ep::emulator {

struct Stream;
struct Capture;
struct Operation;
using OperationPtr = std::shared_ptr<Operation>;
using TimePoint = std::chrono::steady_clock::time_point;

/// How far each stream had come when something was enqueued; index: Stream::id, 0 being the host.
using VectorClock = std::vector<std::uint32_t>;

void join(VectorClock& into, const VectorClock& other);

/// What is to be done, before it is enqueued (or captured into a graph, from which it is copied at every launch, so
/// `work` keeps its state in itself).
struct Task {
  std::string name;
  std::function<bool()> work = [] { return true; };  // called until it returns true
  /// Operations that share this run one after the other, on whatever stream. No happens-before follows from it.
  std::shared_ptr<OperationPtr> serial = nullptr;
};

/// A task in a stream.
struct Operation {
  std::uint64_t index = 0;  // in order of enqueueing, from 1
  Stream* stream = nullptr;
  std::uint32_t position = 0;  // in its stream, from 1
  VectorClock clock;  // what it is ordered behind; may grow until it is done, where it learns that something else ended
  std::vector<OperationPtr> waits_for;
  OperationPtr serial_before;  // has its turn first, without being ordered before it
  Task task;
  bool started = false;
  bool done = false;
  TimePoint finished;
};

struct Stream {
  int id = 0;
  bool blocking = false;  // ordered with the legacy default stream
  bool destroyed = false;
  int priority = 0;
  unsigned urgency = 0;  // the scheduler's own, changed at random
  std::uint32_t enqueued = 0;
  std::deque<OperationPtr> queue;
  OperationPtr last;
  std::shared_ptr<Capture> capture;  // into which enqueued work goes instead
  const void* held_by = nullptr;     // an NCCL communicator that has not yet enqueued its operation here
};

/// Where an event was recorded during a capture.
struct CapturedPoint {
  std::weak_ptr<Capture> capture;
  std::vector<std::size_t> nodes;
};

}  // namespace ep::emulator

struct CUstream_st : ep::emulator::Stream {};

struct CUevent_st {
  bool timing = true;
  ep::emulator::OperationPtr record;  // the latest
  ep::emulator::CapturedPoint captured;
};
