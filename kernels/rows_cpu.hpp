#pragma once
#include <cstdint>

#include "core/dtype.hpp"
#include "kernels/e4m3.hpp"

// Loops over contiguous elements in host memory, vectorised for the CPU they run on. Inputs and outputs do not overlap.
namespace ep::kernels::rows {

void widen(const core::BFloat16* in, float* out, std::int64_t count);
/// Rounds to nearest even.
void narrow(const float* in, core::BFloat16* out, std::int64_t count);

/// sum += weight * in, rounded after the product and after the sum.
void accumulate(float weight, const float* in, float* sum, std::int64_t count);
void accumulate(float weight, const core::BFloat16* in, float* sum, std::int64_t count);

/// out = weight * in.
void scale(float weight, const float* in, float* out, std::int64_t count);
void scale(float weight, const core::BFloat16* in, core::BFloat16* out, std::int64_t count);

/// Sum of products, in sixteen sums that are added up at the end.
float dot(const float* a, const float* b, std::int64_t count);

/// Largest absolute value; NaNs are passed over.
float amax(const float* in, std::int64_t count);
float amax(const core::BFloat16* in, std::int64_t count);

/// out = in * inverse in e4m3, and the way back: out = in * scale.
void quantise(float inverse, const float* in, E4m3* out, std::int64_t count);
void quantise(float inverse, const core::BFloat16* in, E4m3* out, std::int64_t count);
void dequantise(float scale, const E4m3* in, float* out, std::int64_t count);
void dequantise(float scale, const E4m3* in, core::BFloat16* out, std::int64_t count);

/// out = gate / (1 + exp(-gate)) * up. The gate's activation is within 3e-7 (relative) of the exact one for
/// gate >= -87, and within 2e-36 (absolute) below, where the exact one is smaller than that.
void swiglu(const float* gate, const float* up, float* out, std::int64_t count);
void swiglu(const core::BFloat16* gate, const core::BFloat16* up, core::BFloat16* out, std::int64_t count);

/// Gradients of the above for out_grad, the sigmoid as accurate as the activation.
void swiglu_grad(const float* gate, const float* up, const float* out_grad, float* gate_grad, float* up_grad,
                 std::int64_t count);
void swiglu_grad(const core::BFloat16* gate, const core::BFloat16* up, const core::BFloat16* out_grad,
                 core::BFloat16* gate_grad, core::BFloat16* up_grad, std::int64_t count);

}  // namespace ep::kernels::rows
