#pragma once
#include <cstdint>
#include <span>

#include "core/dtype.hpp"

// Loops over contiguous elements in host memory, vectorised for the CPU they run on. Inputs and outputs do not overlap.
namespace ep::kernels::rows {

void widen(const core::BFloat16* in, float* out, std::int64_t count);
/// Rounds to nearest even.
void narrow(const float* in, core::BFloat16* out, std::int64_t count);

/// sum += weights[r] * rows[r] for each r in turn, rounded after every product and every sum. Reads all rows side by
/// side: one stream alone leaves memory bandwidth unused.
void add_weighted(std::span<const float> weights, const float* const* rows, float* sum, std::int64_t count);
void add_weighted(std::span<const float> weights, const core::BFloat16* const* rows, float* sum, std::int64_t count);

/// out = gate / (1 + exp(-gate)) * up. The gate's activation is within 3e-7 (relative) of the exact one for
/// gate >= -87, and within 2e-36 (absolute) below, where the exact one is smaller than that.
void swiglu(const float* gate, const float* up, float* out, std::int64_t count);
void swiglu(const core::BFloat16* gate, const core::BFloat16* up, core::BFloat16* out, std::int64_t count);

}  // namespace ep::kernels::rows
