#pragma once
#include <span>
#include <vector>

#include "calibration/fit.hpp"
#include "cost/fits.hpp"

namespace ep::calibration {

struct Interval {
  double low = 0;
  double high = 0;
};

/// time_us = latency_us + bytes / (gbs * 1000) over a range of sizes, and how far it can be trusted. By least squares
/// with weights 1 / us^2; intervals at 95 %, by Student's t with n - 2 degrees of freedom.
struct LineFit {
  double from_bytes = 0;  // the range, both ends included
  double to_bytes = 0;
  double latency_us = 0;  // as fitted: may be negative
  double gbs = 0;
  Interval latency_interval;  // of latency_us
  Interval gbs_interval;
  double r_squared = 0;       // weighted: share of the variation about the weighted mean that the line explains
  double worst_residual = 0;  // largest |line - time| / time

  /// What the samples cannot tell from zero, or from anything, is not to be printed as a figure.
  [[nodiscard]] bool supports_latency() const { return latency_interval.low > 0; }
  [[nodiscard]] bool supports_gbs() const { return gbs_interval.low > 0; }
};

/// One line, or two where the messages below and above some size follow different ones (as eager and rendezvous do):
/// then two must fit so much better that chance does it once in a hundred times (F test), and one miss some sample by
/// 10 %.
/// @param samples one for each size, ascending in bytes, all positive. At least 3, and 6 for two lines. Fewer: none.
std::vector<LineFit> fit_pieces(std::span<const Sample> samples);

/// How well `line` holds for the samples that it was made of, or, where it goes through points, how well one line would
/// (fit_line). Of fewer than three sizes neither intervals nor R^2: any two lie on a line. A constant that its own
/// interval, by least squares, does not hold is not supported either. Samples without bytes or time are left out.
cost::Fit fit_of(const cost::Line& line, std::span<const Sample> samples);

/// Has `fits` tell of the constant `name`, if any sample does.
void record_fit(cost::Fits& fits, const std::string& name, const cost::Line& line, std::span<const Sample> samples);

}  // namespace ep::calibration
