#include "schedule/builder.hpp"
#include "schedule/work.hpp"

namespace ep::schedule {

/// The expert's result for each copy came home with the forward's combine: no further exchange is needed.
void Builder::gate_grad(int chunk) {
  add(OpKind::gate_grad, Lane::compute, chunk, chunks(), gate_grad_work(plan_, shape_, chunk),
      {{BufferKind::output, chunk}, {BufferKind::combine_recv, chunk}, {BufferKind::buckets, chunk}},
      {{BufferKind::gate_grad, chunk}});
}

/// The gradient of the output is there once the output is: it stands for what comes between the two passes.
void Builder::pack_grad(int chunk) {
  std::vector<BufferId> reads{{BufferKind::buckets, chunk}, {BufferKind::counts, chunk}};
  for (int part = 0; part < chunks(); ++part) reads.push_back({BufferKind::output, part});
  add(OpKind::pack_grad, Lane::compute, chunk, chunks(), pack_work(plan_, shape_, chunk, OpKind::pack_grad),
      std::move(reads), {{BufferKind::send, chunk}, {BufferKind::recv, chunk}});
}

void Builder::dispatch_grad(int chunk) {
  add(OpKind::dispatch_grad, Lane::comm, chunk, chunks(), exchange_work(plan_, shape_, chunk, OpKind::dispatch_grad),
      {{BufferKind::send, chunk}, {BufferKind::counts, chunk}}, {{BufferKind::recv, chunk}});
}

void Builder::down_dw(int chunk) {
  add_expert_gemm(OpKind::down_dw, chunk, {{BufferKind::expert_out, chunk}, {BufferKind::activation, chunk}},
                  {BufferKind::down_weights_grad});
}

void Builder::gate_up_dw(int chunk) {
  add_expert_gemm(OpKind::gate_up_dw, chunk, {{BufferKind::gate_up_grad, chunk}, {BufferKind::expert_in, chunk}},
                  {BufferKind::gate_up_weights_grad});
}

void Builder::experts_grad(int chunk, bool defer_dw) {
  add(OpKind::regroup_grad, Lane::compute, chunk, chunks(), regroup_work(plan_, shape_, chunk, OpKind::regroup_grad),
      {{BufferKind::recv, chunk}, {BufferKind::counts, chunk}}, {{BufferKind::expert_out, chunk}});
  add_expert_gemm(OpKind::down_dx, chunk, {{BufferKind::expert_out, chunk}}, {BufferKind::activation_grad, chunk});
  if (!defer_dw) down_dw(chunk);
  add(OpKind::swiglu_grad, Lane::compute, chunk, chunks(), swiglu_work(plan_, shape_, chunk, OpKind::swiglu_grad),
      {{BufferKind::gate_up, chunk}, {BufferKind::activation_grad, chunk}}, {{BufferKind::gate_up_grad, chunk}});
  add_expert_gemm(OpKind::gate_up_dx, chunk, {{BufferKind::gate_up_grad, chunk}}, {BufferKind::expert_in_grad, chunk});
  if (!defer_dw) gate_up_dw(chunk);
  add(OpKind::ungroup_grad, Lane::compute, chunk, chunks(), regroup_work(plan_, shape_, chunk, OpKind::ungroup),
      {{BufferKind::expert_in_grad, chunk}, {BufferKind::counts, chunk}},
      {{BufferKind::combine_send, chunk}, {BufferKind::grad_recv, chunk}});
}

void Builder::experts_dw(int chunk) {
  down_dw(chunk);
  gate_up_dw(chunk);
}

void Builder::combine_grad(int chunk) {
  add(OpKind::combine_grad, Lane::comm, chunk, chunks(), exchange_work(plan_, shape_, chunk, OpKind::combine),
      {{BufferKind::combine_send, chunk}, {BufferKind::counts, chunk}}, {{BufferKind::grad_recv, chunk}});
}

void Builder::reduce_grad(int chunk) {
  std::vector<BufferId> reads = written_by(OpKind::shared_dx, BufferKind::shared_in_grad);
  reads.insert(reads.end(), {{BufferKind::grad_recv, chunk}, {BufferKind::buckets, chunk}});
  add(OpKind::reduce_grad, Lane::compute, chunk, chunks(), reduce_work(plan_, shape_, chunk), std::move(reads),
      {{BufferKind::token_grad, chunk}});
}

void Builder::shared_dx(int part, int parts) {
  if (!has_shared()) return;
  std::vector<BufferId> reads = written_by(OpKind::shared, BufferKind::shared_scratch);
  for (int chunk = 0; chunk < chunks(); ++chunk) reads.push_back({BufferKind::output, chunk});
  add(OpKind::shared_dx, Lane::compute, part, parts, shared_work(plan_, shape_, part, parts, OpKind::shared_dx),
      std::move(reads), {{BufferKind::shared_grad_scratch, part}, {BufferKind::shared_in_grad, part}});
}

void Builder::shared_dw(int part, int parts) {
  if (!has_shared()) return;
  std::vector<BufferId> reads = written_by(OpKind::shared, BufferKind::shared_scratch);
  reads.insert(reads.end(), {{BufferKind::tokens}, {BufferKind::shared_grad_scratch, part}});
  add(OpKind::shared_dw, Lane::compute, part, parts, shared_work(plan_, shape_, part, parts, OpKind::shared_dw),
      std::move(reads), {{BufferKind::shared_weights_grad}});
}

}  // namespace ep::schedule
