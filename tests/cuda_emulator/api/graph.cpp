#include "cuda_emulator/api/graph.hpp"

#include <algorithm>
#include <set>

#include "cuda_emulator/api/error.hpp"
#include "cuda_emulator/runtime/engine.hpp"
#include "cuda_emulator/runtime/report.hpp"

struct CUgraph_st {
  std::vector<ep::emulator::GraphNode> nodes;
  std::size_t lanes = 0;
};

struct CUgraphExec_st {
  CUgraph_st graph;
  std::vector<ep::emulator::Stream*> lanes;
  ep::emulator::OperationPtr latest_end;
};

namespace ep::emulator {
namespace {

std::vector<std::shared_ptr<Capture>>& captures() {
  static auto& all = *new std::vector<std::shared_ptr<Capture>>;
  return all;
}

/// The nodes from which the origin stream's end can be reached: all of them, once every stream was joined.
bool everything_joined(const Capture& capture, const std::vector<std::size_t>& end) {
  std::set<std::size_t> reached;
  std::vector<std::size_t> open = end;
  while (!open.empty()) {
    const std::size_t node = open.back();
    open.pop_back();
    if (!reached.insert(node).second) continue;
    open.insert(open.end(), capture.nodes[node].after.begin(), capture.nodes[node].after.end());
  }
  return reached.size() == capture.nodes.size();
}

/// How this thread lets captures forbid what it does.
cudaStreamCaptureMode& interaction_mode() {
  thread_local cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  return mode;
}

/// Streams of graphs that are gone, to be used again.
std::vector<Stream*>& spare_lanes() {
  static auto& spare = *new std::vector<Stream*>;
  return spare;
}

Stream* take_lane() {
  if (spare_lanes().empty()) return Engine::get().create_stream(false, 0);
  Stream* lane = spare_lanes().back();
  spare_lanes().pop_back();
  return lane;
}

std::shared_ptr<Capture> finish_capture(Stream& stream) {
  std::shared_ptr<Capture> capture = stream.capture;
  for (Stream* lane : capture->lanes) lane->capture.reset();
  stream.capture.reset();
  std::erase(captures(), capture);
  return capture;
}

/// Enqueues one replay of the graph and returns its last operation.
OperationPtr replay(CUgraphExec_st& exec, Stream& stream) {
  Engine& engine = Engine::get();
  const OperationPtr before = exec.latest_end;  // launches of one executable graph never overlap
  const OperationPtr begin = engine.enqueue(stream, {.name = "graph begins"}, {&before, 1});
  std::vector<OperationPtr> operations;
  for (const GraphNode& node : exec.graph.nodes) {
    std::vector<OperationPtr> after{begin};
    for (const std::size_t each : node.after) after.push_back(operations[each]);
    operations.push_back(engine.enqueue(*exec.lanes[node.lane], node.task, after));
    if (node.event != nullptr) node.event->record = operations.back();
  }
  exec.latest_end = engine.enqueue(stream, {.name = "graph ends"}, operations);
  return exec.latest_end;
}

}  // namespace

cudaError_t capture_task(Stream& stream, Task task, cudaEvent_t external_event) {
  Capture& capture = *stream.capture;
  if (capture.invalid) return cudaErrorStreamCaptureInvalidated;
  auto lane = std::find(capture.lanes.begin(), capture.lanes.end(), &stream);
  std::vector<std::size_t>& frontier = capture.frontier[&stream];
  const std::size_t node = capture.nodes.size();
  capture.nodes.push_back(
      {std::move(task), static_cast<std::size_t>(lane - capture.lanes.begin()), frontier, external_event});
  frontier = {node};
  return cudaSuccess;
}

cudaError_t refuse_during_capture() {
  for (const auto& capture : captures()) {
    const bool own = capture->thread == std::this_thread::get_id();
    const bool both_global =
        capture->mode == cudaStreamCaptureModeGlobal && interaction_mode() == cudaStreamCaptureModeGlobal;
    if (capture->mode == cudaStreamCaptureModeRelaxed || interaction_mode() == cudaStreamCaptureModeRelaxed) continue;
    if (!own && !both_global) continue;
    capture->invalid = true;
    return cudaErrorStreamCaptureUnsupported;
  }
  return cudaSuccess;
}

cudaError_t refuse_sync_during_capture(Stream& stream) {
  if (stream.capture == nullptr) return cudaSuccess;
  stream.capture->invalid = true;
  return cudaErrorStreamCaptureUnsupported;
}

cudaError_t refuse_legacy_during_capture(const Stream& stream) {
  if (stream.id != 1) return cudaSuccess;
  for (const auto& capture : captures()) {
    const bool waits =
        std::any_of(capture->lanes.begin(), capture->lanes.end(), [](const Stream* lane) { return lane->blocking; });
    if (!waits || capture->mode == cudaStreamCaptureModeRelaxed) continue;
    capture->invalid = true;
    return cudaErrorStreamCaptureImplicit;
  }
  return cudaSuccess;
}

}  // namespace ep::emulator

using namespace ep::emulator;

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  const Guard guard;
  static unsigned long long last_id = 0;
  Stream& stream = Engine::get().stream(handle);
  if (stream.id == 1) return remember(cudaErrorStreamCaptureUnsupported);
  if (stream.capture != nullptr) return remember(cudaErrorIllegalState);
  auto capture = std::make_shared<Capture>();
  capture->id = ++last_id;
  capture->mode = mode;
  capture->thread = std::this_thread::get_id();
  capture->origin = &stream;
  capture->lanes.push_back(&stream);
  captures().push_back(capture);
  stream.capture = std::move(capture);
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  const Guard guard;
  *graph = nullptr;
  Stream& stream = Engine::get().stream(handle);
  if (stream.capture == nullptr) return remember(cudaErrorIllegalState);
  if (stream.capture->origin != &stream) return remember(cudaErrorStreamCaptureUnmatched);
  if (stream.held_by != nullptr) fail("nccl-in-progress", "cudaStreamEndCapture before an NCCL operation was captured");
  const auto capture = finish_capture(stream);
  if (capture->invalid) return remember(cudaErrorStreamCaptureInvalidated);
  if (!everything_joined(*capture, capture->frontier[&stream])) return remember(cudaErrorStreamCaptureUnjoined);
  if (!capture->allocated.empty()) fail("unsupported", "a capture that allocates what it does not free");
  *graph = new CUgraph_st{std::move(capture->nodes), capture->lanes.size()};
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  const Guard guard;
  const auto& capture = Engine::get().stream(handle).capture;
  *status = capture == nullptr ? cudaStreamCaptureStatusNone
            : capture->invalid ? cudaStreamCaptureStatusInvalidated
                               : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t handle, cudaStreamCaptureStatus* status, unsigned long long* id,
                                     cudaGraph_t*, const cudaGraphNode_t**, const cudaGraphEdgeData**, std::size_t*) {
  const Guard guard;
  if (const auto& capture = Engine::get().stream(handle).capture; capture != nullptr && id != nullptr)
    *id = capture->id;
  return cudaStreamIsCapturing(handle, status);
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  std::swap(*mode, interaction_mode());
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  const Guard guard;
  *exec = new CUgraphExec_st{*graph, {}, nullptr};
  for (std::size_t i = 0; i < graph->lanes; ++i) (*exec)->lanes.push_back(take_lane());
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags) {
  return cudaGraphInstantiate(exec, graph, flags);
}

cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) {
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t handle) {
  const Guard guard;
  Engine& engine = Engine::get();
  Stream& stream = engine.stream(handle);
  if (engine.sticky_error() != cudaSuccess) return engine.sticky_error();
  if (stream.capture != nullptr) fail("unsupported", "cudaGraphLaunch into a capture");
  replay(*exec, stream);
  engine.offer_progress();
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  const Guard guard;
  // A launch under way goes on: it has copies of the graph's tasks, and with them of all that they hold.
  for (Stream* lane : exec->lanes) {
    if (Engine::get().quiescent(*lane)) spare_lanes().push_back(lane);
  }
  delete exec;
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const Guard guard;
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t*, std::size_t* count) {
  const Guard guard;
  *count = graph->nodes.size();
  return cudaSuccess;
}

}  // extern "C"
