#pragma once
#include <string>
#include <vector>

#include "published/model.hpp"

namespace ep::published {

/// One published time beside what the model says by three sets of constants.
struct Score {
  Figure figure;
  double datasheet_us = 0;  // the row's own NIC and NVLink bandwidth, no latency
  double constants_us = 0;  // the constants file
  double left_out_us = 0;   // constants fitted to every other row of the file
  std::string bound;        // "NIC" or "NVLink copies", by the constants file
};

/// Fits all constants to the figures but those of row `without` (-1: to all), names and groups as in `like`. Least
/// squares of ln(predicted / measured), each figure's deviation taken as 8 %; what few rows determine is drawn to what
/// is known without them: 85 % of the NIC's bandwidth (within a factor of 1.35), 70 % of NVLink's (1.65), for a library
/// the hardware's copy rate (1.35), and 10 us (2.7). docs/predict.md says why.
Constants fit(const std::vector<Row>& rows, const std::vector<Figure>& figures, const Constants& like, int without);

/// Scores every figure, the last column leaving out the figure's own row.
std::vector<Score> score(const std::vector<Row>& rows, const Constants& constants);

/// 100 * (predicted - measured) / measured of every score by one of its times.
std::vector<double> errors_percent(const std::vector<Score>& scores, double Score::*predicted_us);

}  // namespace ep::published
