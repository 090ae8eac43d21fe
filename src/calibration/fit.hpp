#pragma once
#include <span>
#include <vector>

#include "cost/machine.hpp"

namespace ep::calibration {

struct Sample {
  double bytes = 0;
  double us = 0;
};

/// Sums over samples with weights 1 / us^2, so that every sample counts by its relative error.
struct WeightedSums {
  double w = 0, x = 0, y = 0, xx = 0, xy = 0;

  void add(const Sample& s) {
    const double weight = 1 / (s.us * s.us);
    w += weight;
    x += weight * s.bytes;
    y += weight * s.us;
    xx += weight * s.bytes * s.bytes;
    xy += weight * s.bytes * s.us;
  }
  [[nodiscard]] double determinant() const { return w * xx - x * x; }
  /// Of the least-squares line. @pre the samples are of at least two sizes
  [[nodiscard]] double us_per_byte() const { return (w * xy - x * y) / determinant(); }
  [[nodiscard]] double latency_us() const { return (y - us_per_byte() * x) / w; }
};

/// Least-squares line through (bytes, us) by WeightedSums.
/// Samples without bytes or time say nothing and are left out. Where the latency would be negative, the times do not
/// grow with the bytes, or all bytes are equal, the line goes through the origin at the samples' median rate. No sample
/// gives a line of gbs 0.
cost::Line fit_line(std::span<const Sample> samples);

/// What medians of many times are known to.
constexpr double kCurveTolerance = 0.02;

/// fit_line, and, where that misses one of two sizes or more by over `tolerance` of what it took, with the samples as
/// points.
cost::Line fit_curve(std::span<const Sample> samples, double tolerance = kCurveTolerance);

/// The line of one link. Its bandwidth is what the longest message takes beyond the second longest; its latency is what
/// the bandwidth leaves of the shortest, split into what every further peer adds and what is paid once. Where that
/// misses a size by over a tenth, as messages of MPI's other protocol, the samples are its points.
/// @param one times of one message to one peer, by size; at least two of different sizes, ascending
/// @param fan_out_us one rank's messages of the shortest size, one to each of `peers` at once
cost::Line link_line(std::span<const Sample> one, int peers, double fan_out_us);

/// A link within a node, so that it takes no longer for its part than all links of the node together did: a probe of
/// one link, whose ranks have nothing else to do, finds threads less awake than the layer keeps them. As it is where it
/// takes less already, else of points, start_us 0.
/// @param exchanges in which each of `ranks`, at least 2, sent every other as much; bytes of all together
cost::Line bounded(const cost::Line& link, std::span<const Sample> exchanges, int ranks);

/// The points in order of size, those of one size made one, and no time longer than that of a larger size: what
/// disturbs a time makes it longer.
std::vector<cost::Point> tidy(std::vector<cost::Point> points);

/// Times of a computation and a communication, each alone, and of both when they begin together.
struct TwoTasks {
  double compute_alone_us = 0;
  double comm_alone_us = 0;
  double compute_us = 0;
  double comm_us = 0;
};

/// The slow-down of each while both run. The first to end was slowed all along, the other until then. At least 1 each.
cost::Interference interference_of(const TwoTasks& tasks);

}  // namespace ep::calibration
