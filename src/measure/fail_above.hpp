#pragma once
#include <string>
#include <vector>

#include "measure/result.hpp"

namespace ep::measure {

/// One sentence for each row, and each step of it, that took more than `factor` times its prediction, naming strategy,
/// step, what binds it, and for a step the rank it took longest on. A step counts when it exceeds that by at least 5 %
/// of the predicted iteration: a kernel of a few microseconds misses its prediction often, and nobody need care. Rows
/// without trusted times are passed over.
std::vector<std::string> slower_than(const Report& report, double factor);

}  // namespace ep::measure
