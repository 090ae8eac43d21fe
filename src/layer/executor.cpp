#include "layer/executor.hpp"

#include "core/clock.hpp"
#include "core/error.hpp"
#include "core/step.hpp"

namespace ep::layer {

namespace {

bool runs_in(Phase phase, schedule::Lane lane) {
  switch (phase) {
    case Phase::whole:
      return true;
    case Phase::compute_alone:
      return lane == schedule::Lane::compute;
    case Phase::comm_alone:
      return lane != schedule::Lane::compute;
  }
  return false;
}

}  // namespace

void Executor::prepare(const schedule::Schedule& schedule) {
  if (schedule.direction != schedule::name_of(schedule::Direction::forward) && !layer_.input().gradients) {
    throw core::Error(core::ExitCode::internal, "layer: it was made without room for gradients");
  }
  layer_.set_chunks(schedule.chunks);
  if (schedule.needs != nullptr) run(*schedule.needs, Phase::whole);
}

std::vector<schedule::Span> Executor::run(const schedule::Schedule& schedule, Phase phase) {
  device::Device& device = layer_.device();
  while (events_.size() < schedule.ops.size()) events_.push_back({device.create_event(), device.create_event()});
  std::vector<schedule::Span> spans;
  spans.reserve(schedule.ops.size());
  for (const schedule::Operation& op : schedule.ops) {
    if (runs_in(phase, op.lane)) spans.push_back({layer_.input().rank, op.lane, op.id, 0, 0});
  }
  if (const device::Graph* const graph = graph_of(schedule, phase, spans)) {
    core::enter_step(schedule.strategy, "replay of its graph");
    const device::NamedStep named(device, schedule.strategy);
    device.replay(*graph);
  } else {
    issue_all(schedule, phase, spans);
  }
  core::enter_step("waiting for the device");
  device.synchronize();
  for (schedule::Span& span : spans) {
    if (span.lane == schedule::Lane::host) continue;
    const OpEvents& events = events_[static_cast<std::size_t>(span.op)];
    span.start_us = device.time_us(*events.start);
    span.end_us = device.time_us(*events.end);
  }
  return spans;
}

void Executor::issue_all(const schedule::Schedule& schedule, Phase phase, std::vector<schedule::Span>& spans) {
  for (schedule::Span& span : spans) issue(schedule, schedule.ops[static_cast<std::size_t>(span.op)], phase, span);
}

/// Null for a run without graph. A phase other than `whole` has had its first run in a whole one.
const device::Graph* Executor::graph_of(const schedule::Schedule& schedule, Phase phase,
                                        std::vector<schedule::Span>& spans) {
  if (!with_graphs_) return nullptr;
  for (const schedule::Span& span : spans) {
    if (span.lane == schedule::Lane::host)
      throw core::Error(core::ExitCode::unsupported, "a schedule that waits for the host cannot be a graph");
  }
  const auto [found, first] = graphs_.try_emplace({&schedule, phase});
  if (first && phase == Phase::whole) return nullptr;
  std::unique_ptr<device::Graph>& graph = found->second;
  if (graph == nullptr) graph = layer_.device().capture([&] { issue_all(schedule, phase, spans); });
  return graph.get();
}

void Executor::issue(const schedule::Schedule& schedule, const schedule::Operation& op, Phase phase,
                     schedule::Span& span) {
  core::enter_step(schedule.strategy, op.name);
  device::Device& device = layer_.device();
  const device::NamedStep named(device, op.name);
  const bool on_host = op.lane == schedule::Lane::host;
  device::Stream& stream = op.lane == schedule::Lane::comm ? device.comm_stream() : device.compute_stream();
  for (const int wait : op.waits) {
    const schedule::Lane lane = schedule.ops[static_cast<std::size_t>(wait)].lane;
    if (lane == schedule::Lane::host || !runs_in(phase, lane)) continue;  // the host is past it, or it does not run
    const device::Event& end = *events_[static_cast<std::size_t>(wait)].end;
    if (on_host) {
      device.synchronize(end);
    } else {
      device.wait(stream, end);
    }
  }
  if (on_host) {
    span.start_us = core::now_us();
    layer_.run_on_host(op);
    span.end_us = core::now_us();
    return;
  }
  OpEvents& events = events_[static_cast<std::size_t>(op.id)];
  device.record(*events.start, stream);
  layer_.launch(op, stream);
  device.record(*events.end, stream);
}

}  // namespace ep::layer
