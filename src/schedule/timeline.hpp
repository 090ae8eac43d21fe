#pragma once
#include <vector>

#include "schedule/schedule.hpp"

namespace ep::schedule {

/// When one rank ran one operation. Microseconds of rank 0's clock, from any common origin.
struct Span {
  int rank = 0;
  Lane lane{};
  int op = 0;
  double start_us = 0;
  double end_us = 0;
};

/// One iteration of a schedule on every rank, measured or predicted: both are read the same way.
struct Timeline {
  std::vector<Span> spans;
};

/// Latest end minus earliest start over all ranks; 0 when empty.
double iteration_us(const Timeline& timeline);

/// Each rank's first start minus the earliest of all, [ranks].
std::vector<double> lateness_us(const Timeline& timeline, int ranks);

/// How long one operation took, for the job as a whole.
struct OpTime {
  double start_us = 0;     // from the start of the iteration: the first rank's; of exchanges the last one's
  double duration_us = 0;  // compute: of the slowest rank; exchanges: from the latest participant's start to the last
                           // end, so that waiting for a late rank is not charged to the transfer
  int slowest_rank = 0;
};

/// [ops] times of every operation of `schedule`; operations without a span have zeros.
std::vector<OpTime> op_times(const Schedule& schedule, const Timeline& timeline);

}  // namespace ep::schedule
