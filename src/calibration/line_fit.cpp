#include "calibration/line_fit.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include <boost/math/distributions/fisher_f.hpp>
#include <boost/math/distributions/students_t.hpp>

namespace ep::calibration {

namespace {

constexpr std::size_t kLeastSamples = 3;
constexpr double kApart = 1.001;  // two sizes, not one measured twice

/// Sum of squared residuals, each relative to its time.
double misfit(std::span<const Sample> samples, double latency_us, double us_per_byte) {
  double sum = 0;
  for (const Sample& s : samples) sum += std::pow((latency_us + us_per_byte * s.bytes) / s.us - 1, 2);
  return sum;
}

struct Fitted {
  LineFit line;
  double misfit = 0;
};

Interval about(double value, double half) {
  return {value - half, value + half};
}

Fitted fit_one(std::span<const Sample> samples) {
  WeightedSums sums;
  for (const Sample& s : samples) sums.add(s);
  const double slope = sums.us_per_byte();
  const double latency = sums.latency_us();
  const double rest = misfit(samples, latency, slope);
  const auto freedom = static_cast<double>(samples.size() - 2);
  const double variance = rest / freedom;
  const double t = quantile(complement(boost::math::students_t(freedom), 0.025));
  const Interval slopes = about(slope, t * std::sqrt(variance * sums.w / sums.determinant()));
  Fitted fitted{{}, rest};
  LineFit& line = fitted.line;
  line.from_bytes = samples.front().bytes;
  line.to_bytes = samples.back().bytes;
  line.latency_us = latency;
  line.gbs = slope > 0 ? 1e-3 / slope : 0;
  line.latency_interval = about(latency, t * std::sqrt(variance * sums.xx / sums.determinant()));
  if (slopes.low > 0) line.gbs_interval = {1e-3 / slopes.high, 1e-3 / slopes.low};
  line.r_squared = 1 - rest / misfit(samples, sums.y / sums.w, 0);
  for (const Sample& s : samples)
    line.worst_residual = std::max(line.worst_residual, std::abs((latency + slope * s.bytes) / s.us - 1));
  return fitted;
}

/// Two lines have three parameters more than one: their own two, and where they part.
bool much_better(double one, double two, std::size_t samples) {
  constexpr double kExtra = 3;
  const double freedom = static_cast<double>(samples) - 2 - kExtra;
  if (freedom < 1) return false;
  if (two <= 0) return one > 0;
  const double f = (one - two) / kExtra / (two / freedom);
  return f > quantile(complement(boost::math::fisher_f(kExtra, freedom), 0.01));
}

/// Those that say something, ascending in size.
std::vector<Sample> usable(std::span<const Sample> samples) {
  std::vector<Sample> result;
  std::ranges::copy_if(samples, std::back_inserter(result), [](const Sample& s) { return s.bytes > 0 && s.us > 0; });
  std::ranges::sort(result, {}, &Sample::bytes);
  return result;
}

/// @param samples ascending
std::size_t sizes_of(std::span<const Sample> samples) {
  std::size_t sizes = 0;
  for (std::size_t i = 0; i < samples.size(); ++i)
    if (i == 0 || samples[i].bytes > kApart * samples[i - 1].bytes) ++sizes;
  return sizes;
}

std::optional<cost::Estimate> supported(double value, const Interval& interval) {
  constexpr double kRounding = 1e-9;  // samples that lie on a line leave an interval of no width
  const double low = interval.low * (1 - kRounding);
  const double high = interval.high * (1 + kRounding);
  if (interval.low <= 0 || value < low || value > high) return std::nullopt;
  return cost::Estimate{value, std::min(value, interval.low), std::max(value, interval.high)};
}

}  // namespace

std::vector<LineFit> fit_pieces(std::span<const Sample> samples) {
  constexpr double kGoodEnough = 0.1;
  if (samples.size() < kLeastSamples) return {};
  const Fitted one = fit_one(samples);
  std::vector<LineFit> best = {one.line};
  if (one.line.worst_residual < kGoodEnough) return best;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t part = kLeastSamples; part + kLeastSamples <= samples.size(); ++part) {
    const Fitted below = fit_one(samples.first(part));
    const Fitted above = fit_one(samples.subspan(part));
    const double two = below.misfit + above.misfit;
    if (two >= least || !much_better(one.misfit, two, samples.size())) continue;
    least = two;
    best = {below.line, above.line};
  }
  return best;
}

cost::Fit fit_of(const cost::Line& line, std::span<const Sample> samples) {
  const std::vector<Sample> ascending = usable(samples);
  const cost::Line one = line.points.empty() ? line : fit_line(ascending);
  cost::Fit fit;
  WeightedSums sums;
  double missed = 0;
  for (const Sample& s : ascending) {
    sums.add(s);
    fit.samples.push_back({s.bytes, s.us, (one.start_us + one.time_us(s.bytes)) / s.us - 1});
    missed += std::pow(fit.samples.back().residual, 2);
  }
  if (sizes_of(ascending) < kLeastSamples) return fit;
  const double varies = misfit(ascending, sums.y / sums.w, 0);
  if (varies > 0) fit.r_squared = 1 - missed / varies;
  if (!line.points.empty()) return fit;
  const LineFit least_squares = fit_one(ascending).line;
  fit.fixed_us = supported(line.start_us + line.latency_us, least_squares.latency_interval);
  fit.gbs = supported(line.gbs, least_squares.gbs_interval);
  return fit;
}

void record_fit(cost::Fits& fits, const std::string& name, const cost::Line& line, std::span<const Sample> samples) {
  cost::Fit fit = fit_of(line, samples);
  if (!fit.samples.empty()) fits[name] = std::move(fit);
}

}  // namespace ep::calibration
