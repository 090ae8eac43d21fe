#pragma once
#include "plan/plan.hpp"
#include "schedule/schedule.hpp"

// What each kind of operation moves and computes, for every rank, from the plan alone. Bytes are those a kernel must
// touch; experts compute in the payload type (a device that converts on the way is calibrated with the same bytes).
namespace ep::schedule {

Work bucket_work(const plan::Plan& plan, int chunk);
Work counts_work(const plan::Plan& plan);
Work quantise_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk);
/// @param kernel pack, pack_grad
Work pack_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk, OpKind kernel);
/// @param kind dispatch, dispatch_grad, combine; back, hidden states and gradients are the same
Work exchange_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk, OpKind kind);
/// @param kernel regroup, regroup_grad, ungroup; back, the same kernel moves gradients
Work regroup_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk, OpKind kernel);
/// @param kind gate_up, down or a gradient of these
Work expert_gemm_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk, OpKind kind);
/// @param kernel swiglu, swiglu_grad
Work swiglu_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk, OpKind kernel);
Work reduce_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk);
Work gate_grad_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk);
/// @param kind shared, shared_dx, shared_dw
Work shared_work(const plan::Plan& plan, const plan::LayerShape& shape, int part, int parts, OpKind kind);

/// Tokens of `rank` in all chunks.
std::int64_t rank_tokens(const plan::Plan& plan, int rank);

}  // namespace ep::schedule
