#include "schedule/builder.hpp"

#include <fmt/format.h>

#include "schedule/work.hpp"

namespace ep::schedule {

Builder::Builder(const plan::Plan& plan, const plan::LayerShape& shape, std::string strategy, bool serial,
                 Direction direction)
    : plan_(plan), shape_(shape), serial_(serial) {
  schedule_.strategy = std::move(strategy);
  schedule_.direction = name_of(direction);
  schedule_.chunks = static_cast<int>(plan.chunks.size());
}

bool Builder::has_shared() const {
  return shape_.shared_ffn > 0;
}

bool Builder::quantises() const {
  return shape_.dispatch_dtype == core::DType::e4m3;
}

Operation& Builder::add(OpKind kind, Lane lane, int part, int parts, Work work, std::vector<BufferId> reads,
                        std::vector<BufferId> writes) {
  const int id = static_cast<int>(schedule_.ops.size());
  Operation op{
      id, std::string(name_of(kind)), kind, lane, part, parts, std::move(work), std::move(reads), std::move(writes),
      {}};
  if (parts > 1) op.name += fmt::format("[{}]", part);
  order_.add(lane);
  // Latest first: a wait for a late operation often covers the earlier ones.
  for (int earlier = id - 1; earlier >= 0; --earlier) {
    if (order_.ordered(earlier, id)) continue;
    const bool needed =
        conflict(schedule_.ops[static_cast<std::size_t>(earlier)], op) != nullptr || (serial_ && earlier == id - 1);
    if (!needed) continue;
    op.waits.push_back(earlier);
    order_.wait_for(earlier);
  }
  schedule_.ops.push_back(std::move(op));
  return schedule_.ops.back();
}

void Builder::bucket(int chunk) {
  add(OpKind::bucket, Lane::compute, chunk, chunks(), bucket_work(plan_, chunk), {{BufferKind::routing}},
      {{BufferKind::buckets, chunk}});
}

void Builder::exchange_counts() {
  if (plan_.counts_known) return;
  std::vector<BufferId> reads;
  std::vector<BufferId> writes;
  for (int chunk = 0; chunk < chunks(); ++chunk) {
    reads.push_back({BufferKind::buckets, chunk});
    writes.push_back({BufferKind::counts, chunk});
  }
  add(OpKind::exchange_counts, Lane::host, 0, 1, counts_work(plan_), std::move(reads), std::move(writes));
}

void Builder::quantise(int chunk) {
  if (!quantises()) return;
  add(OpKind::quantise, Lane::compute, chunk, chunks(), quantise_work(plan_, shape_, chunk), {{BufferKind::tokens}},
      {{BufferKind::quantised, chunk}});
}

void Builder::pack(int chunk) {
  const BufferId tokens = quantises() ? BufferId{BufferKind::quantised, chunk} : BufferId{BufferKind::tokens};
  add(OpKind::pack, Lane::compute, chunk, chunks(), pack_work(plan_, shape_, chunk, OpKind::pack),
      {tokens, {BufferKind::buckets, chunk}, {BufferKind::counts, chunk}},
      {{BufferKind::send, chunk}, {BufferKind::recv, chunk}});
}

void Builder::dispatch(int chunk) {
  add(OpKind::dispatch, Lane::comm, chunk, chunks(), exchange_work(plan_, shape_, chunk, OpKind::dispatch),
      {{BufferKind::send, chunk}, {BufferKind::counts, chunk}}, {{BufferKind::recv, chunk}});
}

void Builder::add_expert_gemm(OpKind kind, int chunk, std::vector<BufferId> reads, BufferId out) {
  add(kind, Lane::compute, chunk, chunks(), expert_gemm_work(plan_, shape_, chunk, kind), std::move(reads), {out});
}

void Builder::experts(int chunk) {
  add(OpKind::regroup, Lane::compute, chunk, chunks(), regroup_work(plan_, shape_, chunk, OpKind::regroup),
      {{BufferKind::recv, chunk}, {BufferKind::counts, chunk}}, {{BufferKind::expert_in, chunk}});
  add_expert_gemm(OpKind::gate_up, chunk, {{BufferKind::expert_in, chunk}}, {BufferKind::gate_up, chunk});
  add(OpKind::swiglu, Lane::compute, chunk, chunks(), swiglu_work(plan_, shape_, chunk, OpKind::swiglu),
      {{BufferKind::gate_up, chunk}}, {{BufferKind::activation, chunk}});
  add_expert_gemm(OpKind::down, chunk, {{BufferKind::activation, chunk}}, {BufferKind::expert_out, chunk});
  add(OpKind::ungroup, Lane::compute, chunk, chunks(), regroup_work(plan_, shape_, chunk, OpKind::ungroup),
      {{BufferKind::expert_out, chunk}, {BufferKind::counts, chunk}},
      {{BufferKind::combine_send, chunk}, {BufferKind::combine_recv, chunk}});
}

void Builder::combine(int chunk) {
  add(OpKind::combine, Lane::comm, chunk, chunks(), exchange_work(plan_, shape_, chunk, OpKind::combine),
      {{BufferKind::combine_send, chunk}, {BufferKind::counts, chunk}}, {{BufferKind::combine_recv, chunk}});
}

/// Every part of `buffer` that operations of `kind` have written so far.
std::vector<BufferId> Builder::written_by(OpKind kind, BufferKind buffer) const {
  std::vector<BufferId> parts;
  for (const Operation& op : schedule_.ops) {
    if (op.kind == kind) parts.push_back({buffer, op.part});
  }
  return parts;
}

void Builder::reduce(int chunk) {
  std::vector<BufferId> reads = written_by(OpKind::shared, BufferKind::shared_out);
  reads.insert(reads.end(), {{BufferKind::combine_recv, chunk}, {BufferKind::buckets, chunk}});
  add(OpKind::reduce, Lane::compute, chunk, chunks(), reduce_work(plan_, shape_, chunk), std::move(reads),
      {{BufferKind::output, chunk}});
}

void Builder::shared(int part, int parts) {
  if (!has_shared()) return;
  add(OpKind::shared, Lane::compute, part, parts, shared_work(plan_, shape_, part, parts, OpKind::shared),
      {{BufferKind::tokens}}, {{BufferKind::shared_scratch, part}, {BufferKind::shared_out, part}});
}

Schedule Builder::finish() {
  validate(schedule_);
  return std::move(schedule_);
}

}  // namespace ep::schedule
