#pragma once
#include "plan/plan.hpp"
#include "schedule/schedule.hpp"

// What each kind of operation moves and computes, for every rank, from the plan alone. Bytes are those a kernel must
// touch; experts compute in the payload type (a device that converts on the way is calibrated with the same bytes).
namespace ep::schedule {

Work bucket_work(const plan::Plan& plan, int chunk);
Work counts_work(const plan::Plan& plan);
Work pack_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk);
Work exchange_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk, OpKind direction);
Work regroup_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk, OpKind kernel);
Work expert_gemm_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk, OpKind kind);
Work swiglu_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk);
Work reduce_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk);
Work shared_work(const plan::Plan& plan, const plan::LayerShape& shape, int part, int parts);

/// Tokens of `rank` in all chunks.
std::int64_t rank_tokens(const plan::Plan& plan, int rank);

}  // namespace ep::schedule
