#include "published/score.hpp"

#include <cmath>
#include <functional>

namespace ep::published {

namespace {

// What is known before any row is seen, as ln of the factor that one standard deviation is.
constexpr double kFigureSpread = 0.08;
constexpr double kNicShare = 0.85;
constexpr double kNicSpread = 0.3;
constexpr double kNvlinkShare = 0.7;
constexpr double kNvlinkSpread = 0.5;
constexpr double kLibrarySpread = 0.3;
constexpr double kLatencyUs = 10;
constexpr double kLatencySpread = 1;

double square(double value) {
  return value * value;
}

double deviation(double value, double expected, double spread) {
  return square(std::log(value / expected) / spread);
}

/// The constants of a file as numbers that can be varied one by one.
std::vector<double*> parameters(Constants& constants) {
  std::vector<double*> all;
  for (auto& [name, hardware] : constants.hardware) all.insert(all.end(), {&hardware.nic_gbs, &hardware.copy_gbs});
  for (auto& [name, library] : constants.libraries) all.insert(all.end(), {&library.copy_gbs, &library.latency_us});
  return all;
}

/// The datasheet of each hardware, and the hardware of each library, by the rows.
struct Known {
  Known(const std::vector<Row>& rows, const Constants& constants) {
    for (const Row& row : rows) {
      const std::string& name = constants.hardware_of.at(row.hw);
      datasheet[name] = {row.nic_gbs, row.nvlink_gbs};
      hardware_of_library[row.source] = name;
    }
  }
  std::map<std::string, Hardware> datasheet;
  std::map<std::string, std::string> hardware_of_library;
};

double predicted_us(const Figure& figure, const Row& row, const Constants& constants) {
  const Library& library = constants.libraries.at(row.source);
  const Hardware& hardware = constants.hardware.at(constants.hardware_of.at(row.hw));
  return time_us(figure, hardware.nic_gbs, library.copy_gbs, library.latency_us);
}

double misfit(const std::vector<Row>& rows, const std::vector<Figure>& figures, const Known& known, int without,
              const Constants& constants) {
  double sum = 0;
  for (const Figure& figure : figures) {
    if (static_cast<int>(figure.row) == without) continue;
    sum += deviation(predicted_us(figure, rows[figure.row], constants), figure.measured_us, kFigureSpread);
  }
  for (const auto& [name, sheet] : known.datasheet) {
    const Hardware& hardware = constants.hardware.at(name);
    sum += deviation(hardware.nic_gbs, kNicShare * sheet.nic_gbs, kNicSpread);
    sum += deviation(hardware.copy_gbs, kNvlinkShare * sheet.copy_gbs, kNvlinkSpread);
  }
  for (const auto& [source, hardware] : known.hardware_of_library) {
    const Library& library = constants.libraries.at(source);
    sum += deviation(library.copy_gbs, constants.hardware.at(hardware).copy_gbs, kLibrarySpread);
    sum += deviation(library.latency_us, kLatencyUs, kLatencySpread);
  }
  return sum;
}

/// Starts from what is known without any figure, so that the result does not depend on what `constants` held.
void reset(Constants& constants, const Known& known) {
  for (const auto& [name, sheet] : known.datasheet) {
    constants.hardware.at(name) = {kNicShare * sheet.nic_gbs, kNvlinkShare * sheet.copy_gbs};
  }
  for (const auto& [source, hardware] : known.hardware_of_library) {
    constants.libraries.at(source) = {constants.hardware.at(hardware).copy_gbs, kLatencyUs};
  }
}

/// Moves one parameter at a time by a factor while that helps, and halves the step when none does.
void descend(const std::vector<double*>& all, const std::function<double()>& loss) {
  constexpr double kFirstStep = 0.3;  // of ln
  constexpr double kLastStep = 1e-5;
  double best = loss();
  for (double step = kFirstStep; step > kLastStep;) {
    bool moved = false;
    for (double* const parameter : all) {
      for (const double factor : {std::exp(step), std::exp(-step)}) {
        const double before = *parameter;
        *parameter = before * factor;
        const double now = loss();
        if (now < best) {
          best = now;
          moved = true;
          break;
        }
        *parameter = before;
      }
    }
    if (!moved) step *= 0.5;
  }
}

/// What the larger term of the largest load is.
std::string bound_by(const Figure& figure, const Row& row, const Constants& constants) {
  const double nic_gbs = constants.hardware.at(constants.hardware_of.at(row.hw)).nic_gbs;
  const double copy_gbs = constants.libraries.at(row.source).copy_gbs;
  const Load& load = figure.loads.back();  // of a total: of the combine, which is the larger
  return load.nic_bytes / nic_gbs > load.nvlink_bytes / copy_gbs ? "NIC" : "NVLink copies";
}

}  // namespace

Constants fit(const std::vector<Row>& rows, const std::vector<Figure>& figures, const Constants& like, int without) {
  const Known known(rows, like);
  Constants constants = like;
  reset(constants, known);
  descend(parameters(constants), [&] { return misfit(rows, figures, known, without, constants); });
  return constants;
}

std::vector<Score> score(const std::vector<Row>& rows, const Constants& constants) {
  const std::vector<Figure> all = figures(rows, constants);
  std::vector<Score> scores;
  std::size_t fitted_without = rows.size();
  Constants fitted;
  for (const Figure& figure : all) {
    const Row& row = rows[figure.row];
    if (figure.row != fitted_without) {
      fitted = fit(rows, all, constants, static_cast<int>(figure.row));
      fitted_without = figure.row;
    }
    scores.push_back({figure, time_us(figure, row.nic_gbs, row.nvlink_gbs, 0), predicted_us(figure, row, constants),
                      predicted_us(figure, row, fitted), bound_by(figure, row, constants)});
  }
  return scores;
}

std::vector<double> errors_percent(const std::vector<Score>& scores, double Score::*predicted_us) {
  std::vector<double> errors;
  for (const Score& score : scores) {
    errors.push_back(100 * (score.*predicted_us - score.figure.measured_us) / score.figure.measured_us);
  }
  return errors;
}

}  // namespace ep::published
