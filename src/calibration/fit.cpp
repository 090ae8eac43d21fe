#include "calibration/fit.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/median.hpp"

namespace ep::calibration {

namespace {

constexpr double kSpread = 1e-6;  // bytes closer than this, relatively, are one size measured twice
constexpr double kLinkTolerance = 0.1;

/// A line that is further from a sample does not hold.
bool misses(double line_us, const Sample& sample, double tolerance) {
  return sample.bytes > 0 && sample.us > 0 && std::abs(line_us - sample.us) > tolerance * sample.us;
}

/// Has the line go through the samples, less what is paid apart from it; not where fewer than two are left.
void go_through(cost::Line& line, std::span<const Sample> samples, double apart_us) {
  std::vector<cost::Point> points;
  for (const Sample& s : samples) {
    if (s.bytes > 0 && s.us > 0) points.push_back({s.bytes, std::max(0.0, s.us - apart_us)});
  }
  points = tidy(std::move(points));
  if (points.size() < 2) return;
  // Beyond the last two it goes on as between them, and more bytes cannot cost nothing: of two that took as long the
  // longer stays.
  while (points.size() > 1 && points.back().us <= points[points.size() - 2].us) points.erase(points.end() - 2);
  line.latency_us = std::min(line.latency_us, points.front().us);
  if (points.size() == 1) {  // all took as long
    line.latency_us = points[0].us;
    points.push_back({2 * points[0].size, 2 * points[0].us});
  }
  line.points = std::move(points);
}

}  // namespace

cost::Line fit_line(std::span<const Sample> samples) {
  WeightedSums sums;
  for (const Sample& s : samples) {
    if (s.bytes > 0 && s.us > 0) sums.add(s);
  }
  if (sums.w <= 0) return {};
  if (sums.determinant() > kSpread * sums.w * sums.xx) {
    const double slope = sums.us_per_byte();
    const double latency = sums.latency_us();
    if (slope > 0 && latency >= 0) return {latency, 1e-3 / slope};
  }
  // The median, since one time that is far too short would make the rate.
  std::vector<double> gbs;
  for (const Sample& s : samples) {
    if (s.bytes > 0 && s.us > 0) gbs.push_back(1e-3 * s.bytes / s.us);
  }
  return {0, core::median(std::move(gbs))};
}

cost::Line fit_curve(std::span<const Sample> samples, double tolerance) {
  cost::Line line = fit_line(samples);
  if (std::ranges::none_of(samples, [&](const Sample& s) { return misses(line.time_us(s.bytes), s, tolerance); }))
    return line;
  go_through(line, samples, 0);
  return line;
}

cost::Line link_line(std::span<const Sample> one, int peers, double fan_out_us) {
  const Sample& least = one.front();
  const Sample& most = one.back();
  const Sample& next = one[one.size() - 2];
  cost::Line line;
  line.gbs = most.us > next.us ? 1e-3 * (most.bytes - next.bytes) / (most.us - next.us) : 1e-3 * most.bytes / most.us;
  const double fixed_us = std::max(0.0, least.us - line.transfer_us(least.bytes));
  const double further_us =
      peers > 1 ? (fan_out_us - least.us) / (peers - 1) - line.transfer_us(least.bytes) : fixed_us;
  line.latency_us = std::clamp(further_us, 0.0, fixed_us);
  line.start_us = fixed_us - line.latency_us;
  const auto time_us = [&](const Sample& s) { return line.start_us + line.time_us(s.bytes); };
  if (std::ranges::any_of(one, [&](const Sample& s) { return misses(time_us(s), s, kLinkTolerance); }))
    go_through(line, one, line.start_us);
  return line;
}

cost::Line bounded(const cost::Line& link, std::span<const Sample> exchanges, int ranks) {
  const double messages = ranks - 1;
  const auto alone_us = [&](double bytes) { return link.start_us / messages + link.time_us(bytes); };
  std::vector<Sample> together;  // one of each rank's messages
  for (const Sample& s : exchanges) together.push_back({s.bytes / (ranks * messages), s.us / messages});
  if (std::ranges::none_of(together, [&](const Sample& s) { return alone_us(s.bytes) > s.us; })) return link;
  const cost::Line all = fit_curve(together, 0);
  std::vector<cost::Point> points;
  const auto add = [&](double bytes) { points.push_back({bytes, std::min(all.time_us(bytes), alone_us(bytes))}); };
  for (const Sample& s : together) add(s.bytes);
  const double most_bytes = std::ranges::max(points, {}, &cost::Point::size).size;
  for (const cost::Point& point : link.points) {
    if (point.size > most_bytes) add(point.size);
  }
  if (link.points.empty()) add(2 * most_bytes);
  cost::Line within;
  within.gbs = link.gbs;
  within.points = tidy(std::move(points));
  within.latency_us = within.points.front().us;
  return within;
}

std::vector<cost::Point> tidy(std::vector<cost::Point> points) {
  std::sort(points.begin(), points.end(), [](const auto& a, const auto& b) { return a.size < b.size; });
  std::vector<cost::Point> result;
  for (const auto& point : points) {
    if (!result.empty() && point.size == result.back().size) {
      result.back().us = 0.5 * (result.back().us + point.us);
    } else {
      result.push_back(point);
    }
  }
  for (std::size_t i = result.size(); i-- > 1;) result[i - 1].us = std::min(result[i - 1].us, result[i].us);
  return result;
}

cost::Interference interference_of(const TwoTasks& tasks) {
  const bool compute_first = tasks.compute_us <= tasks.comm_us;
  const double first_alone = compute_first ? tasks.compute_alone_us : tasks.comm_alone_us;
  const double other_alone = compute_first ? tasks.comm_alone_us : tasks.compute_alone_us;
  const double together = std::min(tasks.compute_us, tasks.comm_us);
  const double rest = std::max(tasks.compute_us, tasks.comm_us) - together;
  const double first = first_alone > 0 ? std::max(1.0, together / first_alone) : 1;
  const double done = other_alone - rest;  // of the other's work, while both ran
  const double other = done > 0 ? std::max(1.0, together / done) : first;
  return compute_first ? cost::Interference{first, other} : cost::Interference{other, first};
}

}  // namespace ep::calibration
