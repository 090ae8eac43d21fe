#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "report/report.hpp"

namespace ep::report {
namespace {

using Json = nlohmann::ordered_json;
using measure::Row;
using schedule::Span;

constexpr int kMeasured = 1;  // process ids: the two halves of the picture
constexpr int kPredicted = 2;
/// Says which strategy is drawn below it. Neither 0, which Perfetto takes for the idle thread and puts elsewhere, nor a
/// process id, which would make it, or a rank's lane, a main thread.
constexpr int kTitleThread = 10;
constexpr double kArrowInset = 0.5;  // an arrow leaves inside its slice: this share of it, or kArrowUs, before its end
constexpr double kArrowUs = 0.1;

/// Threads sort by number: by rank, then host, compute, comm.
int thread_of(const Span& span) {
  return kTitleThread + 1 + 3 * span.rank + static_cast<int>(span.lane);
}

Json metadata(const char* what, int process, int thread, Json args) {
  return {{"ph", "M"}, {"name", what}, {"pid", process}, {"tid", thread}, {"args", std::move(args)}};
}

/// Perfetto cuts times to whole nanoseconds, and drops a slice that then reaches into the next by one. So points in
/// time are a tenth above whole ones, which survives the cut, and lengths are those between whole ones.
double point_us(double us) {
  return (std::round(1e3 * us) + 0.1) / 1e3;
}

double length_us(double start_us, double end_us) {
  return (std::round(1e3 * end_us) - std::round(1e3 * start_us)) / 1e3;
}

Json slice(const std::string& name, int process, int thread, double start_us, double end_us, Json args) {
  return {{"ph", "X"},
          {"name", name},
          {"cat", "step"},
          {"pid", process},
          {"tid", thread},
          {"ts", point_us(start_us)},
          {"dur", length_us(start_us, end_us)},
          {"args", std::move(args)}};
}

Json flow(const char* phase, int id, int process, int thread, double at_us) {
  return {{"ph", phase},    {"name", "waits for"}, {"cat", "wait"},        {"id", id},
          {"pid", process}, {"tid", thread},       {"ts", point_us(at_us)}};
}

/// The operations of one half of one row, by rank and id.
using SpanMap = std::map<std::pair<int, int>, Span>;

SpanMap index_of(const std::vector<Span>& spans) {
  SpanMap index;
  for (const Span& span : spans) index[{span.rank, span.op}] = span;
  return index;
}

Json length_of(const SpanMap& spans, const Span& span) {
  const auto found = spans.find({span.rank, span.op});
  return found == spans.end() ? Json(nullptr) : Json(found->second.end_us - found->second.start_us);
}

/// Draws rows one after another along the time axis, both processes on the same scale. Event kinds and their fields
/// are those of the Trace Event Format that chrome://tracing and Perfetto read; ts and dur are microseconds.
class Painter {
 public:
  explicit Painter(bool emulated) {
    events_.push_back(
        metadata("process_name", kMeasured, 0, {{"name", emulated ? "measured (emulated)" : "measured"}}));
    events_.push_back(metadata("process_name", kPredicted, 0, {{"name", "predicted"}}));
  }

  void draw(const Row& row, double clock_uncertainty_us) {
    row_ = &row;
    clock_uncertainty_us_ = clock_uncertainty_us;
    measured_ = measure::trusted(row) ? index_of(row.measured_spans) : SpanMap();
    predicted_ = index_of(row.predicted_spans);
    draw_half(kMeasured, measured_);
    draw_lateness();
    draw_half(kPredicted, predicted_);
    const double length = std::max(length_us(measured_), length_us(predicted_));
    offset_us_ += 1.05 * length;
  }

  [[nodiscard]] Json take() { return std::move(events_); }

 private:
  static double length_us(const SpanMap& spans) {
    double end = 0;
    for (const auto& [key, span] : spans) end = std::max(end, span.end_us);
    return end;
  }

  void name_thread(int process, int thread, const std::string& name) {
    if (!named_.emplace(process, thread).second) return;
    events_.push_back(metadata("thread_name", process, thread, {{"name", name}}));
    events_.push_back(metadata("thread_sort_index", process, thread, {{"sort_index", thread}}));
  }

  const measure::StepResult& step_of(int op) const {
    if (op < 0 || static_cast<std::size_t>(op) >= row_->steps.size())
      throw core::Error(core::ExitCode::internal, fmt::format("{}: no step {}", row_->strategy, op));
    return row_->steps[static_cast<std::size_t>(op)];
  }

  void draw_half(int process, const SpanMap& spans) {
    if (spans.empty()) return;
    name_thread(process, kTitleThread, "strategy");
    events_.push_back(slice(fmt::format("{} {}", row_->strategy, row_->direction), process, kTitleThread, offset_us_,
                            offset_us_ + length_us(spans), Json::object()));
    for (const auto& [key, span] : spans) draw_span(process, span);
    for (const auto& [key, span] : spans) draw_waits(process, spans, span);
    draw_absence(process, spans);
  }

  void draw_span(int process, const Span& span) {
    const measure::StepResult& step = step_of(span.op);
    name_thread(process, thread_of(span), fmt::format("rank {} {}", span.rank, schedule::name_of(span.lane)));
    events_.push_back(slice(step.name, process, thread_of(span), offset_us_ + span.start_us, offset_us_ + span.end_us,
                            {{"measured_us", length_of(measured_, span)},
                             {"predicted_us", length_of(predicted_, span)},
                             {"bound_by", step.resource},
                             {"bytes_all_ranks", step.bytes ? Json(*step.bytes) : Json(nullptr)}}));
  }

  /// Stream order needs no arrow; what a step of another lane waits for does.
  void draw_waits(int process, const SpanMap& spans, const Span& span) {
    for (const int wait : step_of(span.op).waits) {
      const auto found = spans.find({span.rank, wait});
      if (found == spans.end() || found->second.lane == span.lane) continue;
      const Span& from = found->second;
      const double inset_us = std::min(kArrowUs, kArrowInset * (from.end_us - from.start_us));
      ++arrows_;
      events_.push_back(flow("s", arrows_, process, thread_of(from), offset_us_ + from.end_us - inset_us));
      events_.push_back(flow("f", arrows_, process, thread_of(span), offset_us_ + span.start_us));
      events_.back()["bp"] = "e";  // end at the slice that encloses the time stamp, not at the next one
    }
  }

  /// Inside an exchange, the time until its last rank has begun it: lateness, and nothing that the link did. After the
  /// arrows, which would else end at it.
  void draw_absence(int process, const SpanMap& spans) {
    std::map<int, const Span*> last;
    for (const auto& [key, span] : spans) {
      if (span.lane == schedule::Lane::compute) continue;
      const Span*& latest = last[span.op];
      if (latest == nullptr || span.start_us > latest->start_us) latest = &span;
    }
    const double least_us = process == kMeasured ? clock_uncertainty_us_ : 0;
    for (const auto& [key, span] : spans) {
      if (span.lane == schedule::Lane::compute) continue;
      const double until_us = std::min(last.at(span.op)->start_us, span.end_us);
      if (until_us - span.start_us <= least_us) continue;
      events_.push_back(slice(fmt::format("waits for rank {}", last.at(span.op)->rank), process, thread_of(span),
                              offset_us_ + span.start_us, offset_us_ + until_us, Json::object()));
    }
  }

  /// Time 0 is the earliest rank's start: what passes before a rank's first step is its lateness.
  void draw_lateness() {
    std::map<int, Span> first;
    for (const auto& [key, span] : measured_) {
      const auto [entry, added] = first.emplace(span.rank, span);
      if (!added && span.start_us < entry->second.start_us) entry->second = span;
    }
    for (const auto& [rank, span] : first)
      if (span.start_us > clock_uncertainty_us_)
        events_.push_back(slice("late", kMeasured, thread_of(span), offset_us_, offset_us_ + span.start_us,
                                {{"lateness_us", span.start_us}, {"clock_uncertainty_us", clock_uncertainty_us_}}));
  }

  const Row* row_ = nullptr;
  SpanMap measured_;
  SpanMap predicted_;
  double offset_us_ = 0;
  double clock_uncertainty_us_ = 0;
  int arrows_ = 0;
  std::set<std::pair<int, int>> named_;
  Json events_ = Json::array();
};

}  // namespace

std::string trace(const measure::Report& report) {
  Painter painter(report.emulated);
  for (const Row& row : report.rows) painter.draw(row, report.clock_uncertainty_us);
  const Json document = {{"displayTimeUnit", "ns"},
                         {"otherData", {{"emulated", report.emulated}, {"clock", report.clock_source}}},
                         {"traceEvents", painter.take()}};
  return document.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace ep::report
