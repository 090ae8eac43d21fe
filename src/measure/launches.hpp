#pragma once
#include <span>

#include "measure/result.hpp"

namespace ep::measure {

/// One report from several launches of the same job: each figure is its median over launches (two launches: their
/// mean), `launch_medians_us` keeps every launch's median, `iterations` is their sum, and `converged` needs all. The
/// check passes if all passed, with the largest error. Bottleneck and timeline are those of the launch whose median is
/// nearest the merged one; what is not a figure comes from the first launch. Notes are kept once each.
/// @pre reports is not empty
/// Throws core::Error (internal) when the launches differ in rows, steps, ranks or bytes: they were not the same job.
Report merge_launches(std::span<const Report> reports);

}  // namespace ep::measure
