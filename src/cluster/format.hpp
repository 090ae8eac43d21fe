#pragma once
#include "cost/machine.hpp"

namespace ep::cluster {

/// What a file must say under "format": the version of docs/cluster-file.md.
constexpr int kFormat = 1;

/// Floating-point operations of one GEMM [rows, k] x [k, n].
inline double gemm_flops(const cost::GemmCurve& curve, double rows) {
  return 2.0 * rows * static_cast<double>(curve.n) * static_cast<double>(curve.k);
}

}  // namespace ep::cluster
