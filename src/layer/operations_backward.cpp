// What each kind of operation of the backward pass does with the layer's buffers.

#include "core/error.hpp"
#include "layer/layer.hpp"

namespace ep::layer {

void Layer::launch_backward(const schedule::Operation& op, const ChunkRows& rows, device::Stream& stream) {
  using schedule::OpKind;
  switch (op.kind) {
    case OpKind::gate_grad:
      return gate_grad(rows, stream);
    case OpKind::pack_grad:
      return pack_grad(rows, stream);
    case OpKind::dispatch_grad:
      return dispatch(rows, gradients(), stream);
    case OpKind::regroup_grad:
      return regroup(rows, op.part, gradients(), buffers_.expert_out, stream);
    case OpKind::down_dx:
      return down_dx(rows, stream);
    case OpKind::down_dw:
      return down_dw(rows, op.part, stream);
    case OpKind::swiglu_grad:
      return swiglu_grad(rows, stream);
    case OpKind::gate_up_dx:
      return gate_up_dx(rows, stream);
    case OpKind::gate_up_dw:
      return gate_up_dw(rows, op.part, stream);
    case OpKind::ungroup_grad:
      return ungroup(rows, op.part, buffers_.expert_in_grad, buffers_.grad_recv, stream);
    case OpKind::combine_grad:
      return combine(rows, buffers_.grad_recv, stream);
    case OpKind::reduce_grad:
      return reduce(rows, buffers_.grad_recv, nullptr, buffers_.shared_in_grad, buffers_.token_grad, stream);
    default:
      break;
  }
  throw core::Error(core::ExitCode::internal, "layer: " + op.name + " does not run on a stream");
}

void Layer::gate_grad(const ChunkRows& rows, device::Stream& stream) {
  const core::DType dtype = plan::resting_dtype(input_.shape);
  const std::int64_t row = plan::row_bytes(input_.shape.hidden, dtype);
  const std::int64_t home_row = plan::row_bytes(input_.shape.hidden, input_.shape.combine_dtype);
  const std::int64_t first_slot = rows.first_token * input_.routing.topk;
  device_.launch(
      stream, kernels::GateGradArgs{
                  at(buffers_.output_grad, rows.first_token, row), at(buffers_.combine_recv, rows.send_base, home_row),
                  buffers_.position.as<std::int32_t>() + first_slot, buffers_.gate_grad.as<float>() + first_slot,
                  rows.tokens, input_.routing.topk, input_.shape.hidden, dtype, input_.shape.combine_dtype});
}

void Layer::pack_grad(const ChunkRows& rows, device::Stream& stream) {
  const Outbound to = gradients();
  const std::int64_t row = to.row_bytes;
  const std::int64_t first_slot = rows.first_token * input_.routing.topk;
  const std::int64_t own_arrival = rows.recv_base + rows.own_received(input_.rank).begin;
  device_.launch(stream, kernels::PackWeightedArgs{at(buffers_.output_grad, rows.first_token, row),
                                                   buffers_.position.as<std::int32_t>() + first_slot,
                                                   buffers_.gate_weights.as<float>() + first_slot, rows.tokens,
                                                   input_.routing.topk, input_.shape.hidden, to.dtype,
                                                   at(to.send, rows.send_base, row), rows.own_sent(input_.rank),
                                                   at(to.recv, own_arrival, row)});
}

void Layer::down_dx(const ChunkRows& rows, device::Stream& stream) {
  expert_gemm(rows,
              {buffers_.expert_out, buffers_.down_weights, buffers_.activation_grad, input_.shape.ffn,
               input_.shape.hidden, true},
              stream);
}

void Layer::gate_up_dx(const ChunkRows& rows, device::Stream& stream) {
  expert_gemm(rows,
              {buffers_.gate_up_grad, buffers_.gate_up_weights, buffers_.expert_in_grad, input_.shape.hidden,
               2 * std::int64_t{input_.shape.ffn}, true},
              stream);
}

void Layer::expert_dw(const ChunkRows& rows, int chunk, const WeightGradient& gradient, device::Stream& stream) {
  const std::int64_t element = core::size_of(compute_dtype_);
  const auto experts = static_cast<std::size_t>(sizes_.local_experts);
  device_.launch(
      stream, kernels::WeightGradArgs{std::span(rows.expert_rows).first(experts),
                                      at(gradient.out_grad, rows.recv_base, gradient.n * element),
                                      at(gradient.in, rows.recv_base, gradient.k * element), gradient.out.as<float>(),
                                      gradient.n, gradient.k, compute_dtype_, chunk > 0});
}

void Layer::down_dw(const ChunkRows& rows, int chunk, device::Stream& stream) {
  expert_dw(
      rows, chunk,
      {buffers_.expert_out, buffers_.activation, buffers_.down_weights_grad, input_.shape.hidden, input_.shape.ffn},
      stream);
}

void Layer::gate_up_dw(const ChunkRows& rows, int chunk, device::Stream& stream) {
  expert_dw(rows, chunk,
            {buffers_.gate_up_grad, buffers_.expert_in, buffers_.gate_up_weights_grad,
             2 * std::int64_t{input_.shape.ffn}, input_.shape.hidden},
            stream);
}

void Layer::swiglu_grad(const ChunkRows& rows, device::Stream& stream) {
  const std::int64_t row = input_.shape.ffn * core::size_of(compute_dtype_);
  device_.launch(stream, kernels::SwigluGradArgs{at(buffers_.gate_up, rows.recv_base, 2 * row),
                                                 at(buffers_.activation_grad, rows.recv_base, row),
                                                 at(buffers_.gate_up_grad, rows.recv_base, 2 * row), rows.received,
                                                 input_.shape.ffn, compute_dtype_});
}

void Layer::shared_dx(int part, int parts, device::Stream& stream) {
  const SharedRange range = shared_range(part, parts, buffers_.shared_scratch);
  const SharedRange grad = shared_range(part, parts, buffers_.shared_grad_scratch);
  const std::int64_t rows[] = {range.rows};
  const std::int64_t row = input_.shape.hidden * core::size_of(compute_dtype_);
  const std::int64_t ffn = input_.shape.shared_ffn;
  const std::int64_t hidden = input_.shape.hidden;
  const device::Buffer& output_grad = counterpart(buffers_.output_grad, buffers_.output_grad_compute);
  device_.launch(stream, kernels::GroupedGemmArgs{rows, at(output_grad, range.first, row), buffers_.shared_down.data(),
                                                  grad.activation, ffn, hidden, compute_dtype_, true});
  device_.launch(stream, kernels::SwigluGradArgs{range.gate_up, grad.activation, grad.gate_up, range.rows,
                                                 input_.shape.shared_ffn, compute_dtype_});
  device_.launch(stream, kernels::GroupedGemmArgs{rows, grad.gate_up, buffers_.shared_gate_up.data(),
                                                  at(buffers_.shared_in_grad, range.first, row), hidden, 2 * ffn,
                                                  compute_dtype_, true});
}

void Layer::shared_dw(int part, int parts, device::Stream& stream) {
  const SharedRange range = shared_range(part, parts, buffers_.shared_scratch);
  const SharedRange grad = shared_range(part, parts, buffers_.shared_grad_scratch);
  const std::int64_t rows[] = {range.rows};
  const std::int64_t row = input_.shape.hidden * core::size_of(compute_dtype_);
  const std::int64_t ffn = input_.shape.shared_ffn;
  const std::int64_t hidden = input_.shape.hidden;
  const device::Buffer& tokens = counterpart(buffers_.tokens, buffers_.tokens_compute);
  const device::Buffer& output_grad = counterpart(buffers_.output_grad, buffers_.output_grad_compute);
  device_.launch(stream,
                 kernels::WeightGradArgs{rows, at(output_grad, range.first, row), range.activation,
                                         buffers_.shared_down_grad.as<float>(), hidden, ffn, compute_dtype_, part > 0});
  device_.launch(stream, kernels::WeightGradArgs{rows, grad.gate_up, at(tokens, range.first, row),
                                                 buffers_.shared_gate_up_grad.as<float>(), 2 * ffn, hidden,
                                                 compute_dtype_, part > 0});
}

}  // namespace ep::layer
