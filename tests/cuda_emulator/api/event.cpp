#include <chrono>

#include <fmt/format.h>

#include "cuda_emulator/api/error.hpp"
#include "cuda_emulator/api/graph.hpp"
#include "cuda_emulator/runtime/engine.hpp"
#include "cuda_emulator/runtime/report.hpp"

using namespace ep::emulator;

namespace {

/// Records `event` into the capture of `stream`: streams that wait for it join the capture there.
cudaError_t record_in_capture(CUevent_st& event, Stream& stream) {
  if (stream.capture->invalid) return cudaErrorStreamCaptureInvalidated;
  event.captured = {stream.capture, stream.capture->frontier[&stream]};
  return cudaSuccess;
}

/// `stream` waits for an event that was recorded in a capture, and becomes part of it.
cudaError_t wait_in_capture(Stream& stream, const CUevent_st& event, const std::shared_ptr<Capture>& capture) {
  if (stream.capture != nullptr && stream.capture != capture) return cudaErrorStreamCaptureIsolation;
  if (stream.capture == nullptr) {
    stream.capture = capture;
    capture->lanes.push_back(&stream);
  }
  std::vector<std::size_t>& frontier = capture->frontier[&stream];
  frontier.insert(frontier.end(), event.captured.nodes.begin(), event.captured.nodes.end());
  return cudaSuccess;
}

bool last_recorded_in_capture(const CUevent_st& event) {
  return event.captured.capture.lock() != nullptr;
}

}  // namespace

extern "C" {

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  const Guard guard;
  *event = new CUevent_st;
  (*event)->timing = (flags & cudaEventDisableTiming) == 0;
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const Guard guard;
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t handle, unsigned flags) {
  const Guard guard;
  Engine& engine = Engine::get();
  Stream& stream = engine.stream(handle);
  const bool external = (flags & cudaEventRecordExternal) != 0;
  Task task{.name = "cudaEventRecord"};
  if (stream.capture != nullptr) {
    if (stream.held_by != nullptr) fail("nccl-in-progress", "cudaEventRecord before an NCCL operation was captured");
    return remember(external ? capture_task(stream, std::move(task), event) : record_in_capture(*event, stream));
  }
  if (external) return remember(cudaErrorIllegalState);
  event->captured = {};
  return remember(engine.submit(stream, std::move(task), {}, &event->record));
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return cudaEventRecordWithFlags(event, stream, cudaEventRecordDefault);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned flags) {
  const Guard guard;
  Engine& engine = Engine::get();
  Stream& stream = engine.stream(handle);
  if (const auto capture = event->captured.capture.lock(); capture != nullptr) {
    return remember(wait_in_capture(stream, *event, capture));
  }
  if (event->record == nullptr) return cudaSuccess;  // never recorded: waiting for it is allowed and does nothing
  if (stream.capture != nullptr) {
    if ((flags & cudaEventWaitExternal) != 0) fail("unsupported", "cudaEventWaitExternal");
    stream.capture->invalid = true;
    return remember(cudaErrorStreamCaptureIsolation);
  }
  return remember(engine.submit(stream, {.name = "cudaStreamWaitEvent"}, {&event->record, 1}));
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const Guard guard;
  Engine& engine = Engine::get();
  if (last_recorded_in_capture(*event)) return remember(cudaErrorCapturedEvent);
  if (const cudaError_t error = refuse_during_capture(); error != cudaSuccess) return remember(error);
  engine.wait_for(OperationPtr(event->record), "cudaEventSynchronize");
  return engine.sticky_error();
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const Guard guard;
  Engine& engine = Engine::get();
  if (last_recorded_in_capture(*event)) return remember(cudaErrorCapturedEvent);
  if (const cudaError_t error = refuse_during_capture(); error != cudaSuccess) return remember(error);
  engine.offer_polling();
  if (engine.sticky_error() != cudaSuccess) return engine.sticky_error();
  if (event->record != nullptr && !event->record->done) return cudaErrorNotReady;
  engine.acquire(event->record);
  return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  const Guard guard;
  for (const CUevent_st* event : {start, end}) {
    if (last_recorded_in_capture(*event)) return remember(cudaErrorCapturedEvent);
    if (!event->timing || event->record == nullptr) return remember(cudaErrorInvalidResourceHandle);
    if (!event->record->done) return remember(cudaErrorNotReady);
  }
  const std::chrono::duration<float, std::milli> elapsed = end->record->finished - start->record->finished;
  *milliseconds = elapsed.count();
  return cudaSuccess;
}

}  // extern "C"
