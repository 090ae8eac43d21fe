// Graphs: tasks captured from streams, replayed as often as wanted.
#pragma once
#include <cstddef>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include <cuda_runtime.h>

#include "cuda_emulator/runtime/stream.hpp"

namespace ep::emulator {

struct GraphNode {
  Task task;
  std::size_t lane = 0;            // index of the stream it was captured from
  std::vector<std::size_t> after;  // nodes
  cudaEvent_t event = nullptr;     // an external event record
};

/// A capture in progress: streams that belong to it put their tasks here.
struct Capture {
  unsigned long long id = 0;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread;
  Stream* origin = nullptr;
  bool invalid = false;
  std::vector<GraphNode> nodes;
  std::vector<Stream*> lanes;
  std::map<const Stream*, std::vector<std::size_t>> frontier;  // what the next node of a stream comes after
  std::map<const void*, std::shared_ptr<void>> allocated;      // by nodes, and not freed by a later one
};

/// Adds a task to the capture of `stream`.
cudaError_t capture_task(Stream& stream, Task task, cudaEvent_t external_event = nullptr);

/// The error for a call that CUDA forbids while a stream of this thread (or, globally, of any) is capturing; it also
/// spoils the capture. cudaSuccess when nothing is being captured.
cudaError_t refuse_during_capture();
/// As above, for a call that waits for `stream`, which is capturing.
cudaError_t refuse_sync_during_capture(Stream& stream);
/// The legacy default stream may not be used while others that it waits for are captured.
cudaError_t refuse_legacy_during_capture(const Stream& stream);

}  // namespace ep::emulator
