#include "cost/machine.hpp"

#include <algorithm>

namespace ep::cost {

namespace {

/// Time at `size` on the straight line through two points.
double through(const Point& a, const Point& b, double size) {
  return a.us + (b.us - a.us) * (size - a.size) / (b.size - a.size);
}

}  // namespace

double Line::transfer_us(double bytes) const {
  if (points.empty()) return bytes / (gbs * 1000.0);
  const auto upper = std::find_if(points.begin(), points.end() - 1, [&](const Point& p) { return p.size >= bytes; });
  return through(upper == points.begin() ? Point{0, latency_us} : *(upper - 1), *upper, bytes) - latency_us;
}

double GemmCurve::time_us(double rows) const {
  if (rows <= 0 || points.empty()) return 0;
  if (points.size() == 1) return points[0].us * rows / points[0].size;
  if (rows <= points[0].size) return points[0].us * 0.5 * (1 + rows / points[0].size);
  std::size_t upper = 1;
  while (upper + 1 < points.size() && points[upper].size < rows) ++upper;
  return through(points[upper - 1], points[upper], rows);
}

double Machine::nic_us(double bytes, double even_bytes) const {
  if (bytes <= 0) return 0;
  return std::max(node_nic.shared_us(bytes), fabric.shared_us(std::min(bytes, even_bytes)));
}

}  // namespace ep::cost
