// What each kind of operation does with the layer's buffers: addresses and sizes only, the work is the device's.

#include <algorithm>
#include <utility>

#include "core/error.hpp"
#include "layer/layer.hpp"

namespace ep::layer {

void Layer::launch(const schedule::Operation& op, device::Stream& stream) {
  using schedule::OpKind;
  if (op.kind == OpKind::shared) return shared(op.part, op.parts, stream);
  if (op.kind == OpKind::shared_dx) return shared_dx(op.part, op.parts, stream);
  if (op.kind == OpKind::shared_dw) return shared_dw(op.part, op.parts, stream);
  const ChunkRows& rows = chunks_[static_cast<std::size_t>(op.part)];
  switch (op.kind) {
    case OpKind::bucket:
      return bucket(rows, op.part, stream);
    case OpKind::quantise:
      return quantise(rows, stream);
    case OpKind::pack:
      return pack(rows, stream);
    case OpKind::dispatch:
      return dispatch(rows, hidden_states(), stream);
    case OpKind::regroup:
      upload_segments(rows, op.part, stream);
      return regroup(rows, op.part, hidden_states(), buffers_.expert_in, stream);
    case OpKind::gate_up:
      return gate_up(rows, stream);
    case OpKind::swiglu:
      return swiglu(rows, stream);
    case OpKind::down:
      return down(rows, stream);
    case OpKind::ungroup:
      return ungroup(rows, op.part, buffers_.expert_out, buffers_.combine_recv, stream);
    case OpKind::combine:
      return combine(rows, buffers_.combine_recv, stream);
    case OpKind::reduce:
      return reduce(rows, buffers_.combine_recv, buffers_.gate_weights.as<float>(), buffers_.shared_out,
                    buffers_.output, stream);
    default:
      return launch_backward(op, rows, stream);
  }
}

void Layer::run_on_host(const schedule::Operation& op) {
  if (op.kind != schedule::OpKind::exchange_counts) {
    throw core::Error(core::ExitCode::internal, "layer: " + op.name + " does not run on the host");
  }
  exchange_counts();
}

void Layer::bucket(const ChunkRows& rows, int chunk, device::Stream& stream) {
  const std::int64_t first_slot = rows.first_token * input_.routing.topk;
  const std::int64_t first_count = chunk * sizes_.buckets;
  device_.launch(stream, kernels::BucketArgs{buffers_.expert_ids.as<std::int32_t>() + first_slot,
                                             buffers_.expert_key.as<std::int32_t>(), rows.tokens, input_.routing.topk,
                                             input_.routing.experts, static_cast<std::int32_t>(sizes_.buckets),
                                             buffers_.counts.as<std::int32_t>() + first_count,
                                             buffers_.position.as<std::int32_t>() + first_slot, nullptr});
  device_.copy(stream, buffers_.counts_host.as<std::int32_t>() + first_count,
               buffers_.counts.as<std::int32_t>() + first_count, sizes_.buckets * 4);
}

/// One exchange serves all chunks: for every peer, its chunks' counts one after another.
void Layer::exchange_counts() {
  const int ranks = input_.placement.ranks();
  const int max_local = input_.placement.max_local();
  const std::size_t chunks = chunks_.size();
  const auto row = static_cast<std::size_t>(max_local);
  std::vector<std::int32_t> send(chunks * static_cast<std::size_t>(sizes_.buckets));
  std::vector<std::int32_t> recv(send.size());
  const auto* const counted = buffers_.counts_host.as<std::int32_t>();
  const auto place = [&](std::size_t rank, std::size_t chunk) { return (rank * chunks + chunk) * row; };
  for (std::size_t rank = 0; rank < static_cast<std::size_t>(ranks); ++rank) {
    for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
      std::copy_n(counted + (chunk * static_cast<std::size_t>(ranks) + rank) * row, row,
                  send.data() + place(rank, chunk));
    }
  }
  exchange_.exchange_counts(send, recv);
  std::int64_t send_base = 0;
  std::int64_t recv_base = 0;
  for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
    ChunkRows& rows = chunks_[chunk];
    rows.send_counts.assign(counted + static_cast<std::int64_t>(chunk) * sizes_.buckets,
                            counted + static_cast<std::int64_t>(chunk + 1) * sizes_.buckets);
    rows.recv_counts.clear();
    for (std::size_t rank = 0; rank < static_cast<std::size_t>(ranks); ++rank) {
      const auto* const first = recv.data() + place(rank, chunk);
      rows.recv_counts.insert(rows.recv_counts.end(), first, first + row);
    }
    rows.lay_out(ranks, max_local);
    rows.send_base = std::exchange(send_base, send_base + rows.sent);
    rows.recv_base = std::exchange(recv_base, recv_base + rows.received);
  }
}

Layer::Outbound Layer::hidden_states() const {
  const core::DType dtype = input_.shape.dispatch_dtype;
  return {dtype, buffers_.send, buffers_.recv, plan::row_bytes(input_.shape.hidden, dtype)};
}

Layer::Outbound Layer::gradients() const {
  const core::DType dtype = plan::resting_dtype(input_.shape);
  return {dtype, counterpart(buffers_.send, buffers_.send_grad), counterpart(buffers_.recv, buffers_.recv_grad),
          plan::row_bytes(input_.shape.hidden, dtype)};
}

void Layer::quantise(const ChunkRows& rows, device::Stream& stream) {
  const core::DType resting = plan::resting_dtype(input_.shape);
  device_.launch(stream, kernels::QuantiseArgs{
                             at(buffers_.tokens, rows.first_token, plan::row_bytes(input_.shape.hidden, resting)),
                             at(buffers_.quantised, rows.first_token,
                                plan::row_bytes(input_.shape.hidden, input_.shape.dispatch_dtype)),
                             rows.tokens, input_.shape.hidden, resting});
}

void Layer::pack(const ChunkRows& rows, device::Stream& stream) {
  const device::Buffer& tokens = counterpart(buffers_.tokens, buffers_.quantised);
  const Outbound to = hidden_states();
  const std::int64_t row = to.row_bytes;
  const kernels::OwnRows own = rows.own_sent(input_.rank);
  const std::int64_t own_arrival = rows.recv_base + rows.own_received(input_.rank).begin;
  device_.launch(stream,
                 kernels::PackArgs{at(tokens, rows.first_token, row),
                                   buffers_.position.as<std::int32_t>() + rows.first_token * input_.routing.topk,
                                   rows.tokens, input_.routing.topk, row, at(to.send, rows.send_base, row), own,
                                   at(to.recv, own_arrival, row)});
}

void Layer::dispatch(const ChunkRows& rows, const Outbound& outbound, device::Stream& stream) {
  const std::int64_t row = outbound.row_bytes;
  exchange_.all_to_all(stream, {at(outbound.send, rows.send_base, row), at(outbound.recv, rows.recv_base, row),
                                rows.send_rows, rows.send_offsets, rows.recv_rows, rows.recv_offsets, row, "dispatch"});
}

/// Both ways at once; the backward pass finds them there.
void Layer::upload_segments(const ChunkRows& rows, int chunk, device::Stream& stream) {
  auto* const segments = buffers_.segments.as<kernels::Segment>() + chunk * 2 * sizes_.buckets;
  const auto bytes = static_cast<std::int64_t>(rows.to_experts.size() * sizeof(kernels::Segment));
  device_.copy(stream, segments, rows.to_experts.data(), bytes);
  device_.copy(stream, segments + sizes_.buckets, rows.to_arrival.data(), bytes);
}

void Layer::regroup(const ChunkRows& rows, int chunk, const Outbound& from, const device::Buffer& to,
                    device::Stream& stream) {
  const auto* const segments = buffers_.segments.as<kernels::Segment>() + chunk * 2 * sizes_.buckets;
  const std::int64_t compute_row = plan::row_bytes(input_.shape.hidden, compute_dtype_);
  device_.launch(stream, kernels::RegroupArgs{at(from.recv, rows.recv_base, from.row_bytes),
                                              at(to, rows.recv_base, compute_row),
                                              segments,
                                              static_cast<std::int64_t>(rows.to_experts.size()),
                                              rows.received,
                                              input_.shape.hidden,
                                              from.dtype,
                                              compute_dtype_,
                                              {},
                                              nullptr});
}

void Layer::expert_gemm(const ChunkRows& rows, const Gemm& gemm, device::Stream& stream) {
  const std::int64_t element = core::size_of(compute_dtype_);
  device_.launch(stream, kernels::GroupedGemmArgs{rows.expert_rows, at(gemm.in, rows.recv_base, gemm.k * element),
                                                  gemm.weights.data(), at(gemm.out, rows.recv_base, gemm.n * element),
                                                  gemm.n, gemm.k, compute_dtype_, gemm.k_by_n});
}

void Layer::gate_up(const ChunkRows& rows, device::Stream& stream) {
  expert_gemm(rows,
              {buffers_.expert_in, buffers_.gate_up_weights, buffers_.gate_up, 2 * std::int64_t{input_.shape.ffn},
               input_.shape.hidden},
              stream);
}

void Layer::swiglu(const ChunkRows& rows, device::Stream& stream) {
  const std::int64_t row = input_.shape.ffn * core::size_of(compute_dtype_);
  device_.launch(stream, kernels::SwigluArgs{at(buffers_.gate_up, rows.recv_base, 2 * row),
                                             at(buffers_.activation, rows.recv_base, row), rows.received,
                                             input_.shape.ffn, compute_dtype_});
}

void Layer::down(const ChunkRows& rows, device::Stream& stream) {
  expert_gemm(rows,
              {buffers_.activation, buffers_.down_weights, buffers_.expert_out, input_.shape.hidden, input_.shape.ffn},
              stream);
}

void Layer::ungroup(const ChunkRows& rows, int chunk, const device::Buffer& from, const device::Buffer& own,
                    device::Stream& stream) {
  const auto* const segments = buffers_.segments.as<kernels::Segment>() + (chunk * 2 + 1) * sizes_.buckets;
  const std::int64_t row = plan::row_bytes(input_.shape.hidden, input_.shape.combine_dtype);
  const std::int64_t compute_row = plan::row_bytes(input_.shape.hidden, compute_dtype_);
  const std::int64_t own_home = rows.send_base + rows.own_sent(input_.rank).begin;
  device_.launch(stream, kernels::RegroupArgs{at(from, rows.recv_base, compute_row),
                                              at(buffers_.combine_send, rows.recv_base, row), segments,
                                              static_cast<std::int64_t>(rows.to_arrival.size()), rows.received,
                                              input_.shape.hidden, compute_dtype_, input_.shape.combine_dtype,
                                              rows.own_received(input_.rank), at(own, own_home, row)});
}

void Layer::combine(const ChunkRows& rows, const device::Buffer& to, device::Stream& stream) {
  const std::int64_t row = plan::row_bytes(input_.shape.hidden, input_.shape.combine_dtype);
  exchange_.all_to_all(stream, {at(buffers_.combine_send, rows.recv_base, row), at(to, rows.send_base, row),
                                rows.recv_rows, rows.recv_offsets, rows.send_rows, rows.send_offsets, row, "combine"});
}

void Layer::reduce(const ChunkRows& rows, const device::Buffer& from, const float* weights,
                   const device::Buffer& shared, const device::Buffer& to, device::Stream& stream) {
  const std::int64_t row = plan::row_bytes(input_.shape.hidden, input_.shape.combine_dtype);
  const std::int64_t compute_row = input_.shape.hidden * core::size_of(compute_dtype_);
  const std::int64_t first_slot = rows.first_token * input_.routing.topk;
  const bool has_shared = input_.shape.shared_ffn > 0;
  device_.launch(
      stream, kernels::ReduceArgs{at(from, rows.send_base, row), buffers_.position.as<std::int32_t>() + first_slot,
                                  weights == nullptr ? nullptr : weights + first_slot,
                                  has_shared ? at(shared, rows.first_token, compute_row) : nullptr,
                                  at(to, rows.first_token, row), rows.tokens, input_.routing.topk, input_.shape.hidden,
                                  input_.shape.combine_dtype, compute_dtype_});
}

Layer::SharedRange Layer::shared_range(int part, int parts, const device::Buffer& scratch) const {
  const std::int64_t element = core::size_of(compute_dtype_);
  const std::int64_t ffn = input_.shape.shared_ffn;
  const std::int64_t first = sizes_.tokens * part / parts;
  return {first, sizes_.tokens * (part + 1) / parts - first, at(scratch, first, 2 * ffn * element),
          at(scratch, 2 * sizes_.tokens + first, ffn * element)};
}

void Layer::shared(int part, int parts, device::Stream& stream) {
  const SharedRange range = shared_range(part, parts, buffers_.shared_scratch);
  const std::int64_t rows[] = {range.rows};
  const std::int64_t row = input_.shape.hidden * core::size_of(compute_dtype_);
  const std::int64_t ffn = input_.shape.shared_ffn;
  const std::int64_t hidden = input_.shape.hidden;
  device_.launch(stream, kernels::GroupedGemmArgs{
                             rows, at(counterpart(buffers_.tokens, buffers_.tokens_compute), range.first, row),
                             buffers_.shared_gate_up.data(), range.gate_up, 2 * ffn, hidden, compute_dtype_});
  device_.launch(stream, kernels::SwigluArgs{range.gate_up, range.activation, range.rows, input_.shape.shared_ffn,
                                             compute_dtype_});
  device_.launch(stream,
                 kernels::GroupedGemmArgs{rows, range.activation, buffers_.shared_down.data(),
                                          at(buffers_.shared_out, range.first, row), hidden, ffn, compute_dtype_});
}

}  // namespace ep::layer
