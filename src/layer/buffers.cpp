#include "layer/buffers.hpp"

#include <algorithm>
#include <initializer_list>
#include <vector>

#include "core/error.hpp"
#include "core/parse.hpp"
#include "kernels/regroup.hpp"

namespace ep::layer {

namespace {

/// One buffer to make: where it goes, what for, how large.
struct Request {
  device::Buffer Buffers::*member;
  device::MemoryUse use;
  std::int64_t bytes;
};

std::int64_t product(std::initializer_list<std::int64_t> factors) {
  std::int64_t result = 1;
  for (const std::int64_t factor : factors) result = core::checked_product(result, factor, "buffer size");
  return result;
}

std::vector<Request> forward_requests(const BufferSizes& s, const plan::LayerShape& shape, int topk, int experts,
                                      core::DType compute, int max_chunks) {
  using enum device::MemoryUse;
  const std::int64_t element = core::size_of(compute);
  const core::DType resting = plan::resting_dtype(shape);
  const std::int64_t resting_row = plan::row_bytes(shape.hidden, resting);
  const std::int64_t dispatch_row = plan::row_bytes(shape.hidden, shape.dispatch_dtype);
  const std::int64_t combine_row = plan::row_bytes(shape.hidden, shape.combine_dtype);
  const std::int64_t hidden = shape.hidden;
  const std::int64_t ffn = shape.ffn;
  const std::int64_t shared = shape.shared_ffn;
  const std::int64_t experts_here = s.local_experts;
  const bool second_tokens = shared > 0 && compute != resting;
  return {
      {&Buffers::tokens, device, product({s.tokens, resting_row})},
      {&Buffers::tokens_compute, device, second_tokens ? product({s.tokens, hidden, element}) : 0},
      {&Buffers::expert_ids, device, product({s.tokens, topk, 4})},
      {&Buffers::gate_weights, device, product({s.tokens, topk, 4})},
      {&Buffers::expert_key, device, product({experts, 4})},
      {&Buffers::gate_up_weights, device, product({experts_here, 2, ffn, hidden, element})},
      {&Buffers::down_weights, device, product({experts_here, ffn, hidden, element})},
      {&Buffers::shared_gate_up, device, product({2, shared, hidden, element})},
      {&Buffers::shared_down, device, product({shared, hidden, element})},
      {&Buffers::counts, device, product({max_chunks, s.buckets, 4})},
      {&Buffers::counts_host, host_pinned, product({max_chunks, s.buckets, 4})},
      {&Buffers::position, device, product({s.tokens, topk, 4})},
      {&Buffers::quantised, device, resting != shape.dispatch_dtype ? product({s.tokens, dispatch_row}) : 0},
      {&Buffers::send, send, product({s.sent, dispatch_row})},
      {&Buffers::recv, receive, product({s.received, dispatch_row})},
      {&Buffers::segments, device, product({max_chunks, 2, s.buckets, std::int64_t{sizeof(kernels::Segment)}})},
      {&Buffers::expert_in, device, product({s.received, hidden, element})},
      {&Buffers::gate_up, device, product({s.received, 2, ffn, element})},
      {&Buffers::activation, device, product({s.received, ffn, element})},
      {&Buffers::expert_out, device, product({s.received, hidden, element})},
      {&Buffers::combine_send, send, product({s.received, combine_row})},
      {&Buffers::combine_recv, receive, product({s.sent, combine_row})},
      {&Buffers::shared_scratch, device, product({s.tokens, 3, shared, element})},
      {&Buffers::shared_out, device, shared > 0 ? product({s.tokens, hidden, element}) : 0},
      {&Buffers::output, device, product({s.tokens, combine_row})},
  };
}

std::vector<Request> backward_requests(const BufferSizes& s, const plan::LayerShape& shape, int topk,
                                       core::DType compute) {
  using enum device::MemoryUse;
  const std::int64_t element = core::size_of(compute);
  const std::int64_t combine_row = plan::row_bytes(shape.hidden, shape.combine_dtype);
  const std::int64_t hidden = shape.hidden;
  const std::int64_t ffn = shape.ffn;
  const std::int64_t shared = shape.shared_ffn;
  const std::int64_t experts_here = s.local_experts;
  const core::DType resting = plan::resting_dtype(shape);
  const std::int64_t resting_row = plan::row_bytes(shape.hidden, resting);
  const std::int64_t own_row = resting != shape.dispatch_dtype ? resting_row : 0;
  const bool second_output = shared > 0 && compute != resting;
  return {
      {&Buffers::output_grad, device, product({s.tokens, resting_row})},
      {&Buffers::output_grad_compute, device, second_output ? product({s.tokens, hidden, element}) : 0},
      {&Buffers::gate_grad, device, product({s.tokens, topk, 4})},
      {&Buffers::send_grad, send, product({s.sent, own_row})},
      {&Buffers::recv_grad, receive, product({s.received, own_row})},
      {&Buffers::activation_grad, device, product({s.received, ffn, element})},
      {&Buffers::gate_up_grad, device, product({s.received, 2, ffn, element})},
      {&Buffers::expert_in_grad, device, product({s.received, hidden, element})},
      {&Buffers::grad_recv, receive, product({s.sent, combine_row})},
      {&Buffers::gate_up_weights_grad, device, product({experts_here, 2, ffn, hidden, 4})},
      {&Buffers::down_weights_grad, device, product({experts_here, ffn, hidden, 4})},
      {&Buffers::shared_grad_scratch, device, product({s.tokens, 3, shared, element})},
      {&Buffers::shared_in_grad, device, shared > 0 ? product({s.tokens, hidden, element}) : 0},
      {&Buffers::shared_gate_up_grad, device, product({2, shared, hidden, 4})},
      {&Buffers::shared_down_grad, device, product({shared, hidden, 4})},
      {&Buffers::token_grad, device, product({s.tokens, combine_row})},
  };
}

std::vector<Request> requests(const BufferSizes& sizes, const plan::LayerShape& shape, int topk, int experts,
                              core::DType compute, int max_chunks, bool gradients) {
  std::vector<Request> all = forward_requests(sizes, shape, topk, experts, compute, max_chunks);
  if (gradients) {
    const std::vector<Request> more = backward_requests(sizes, shape, topk, compute);
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

}  // namespace

BufferSizes buffer_sizes(const plan::Plan& plan, int rank) {
  BufferSizes sizes;
  for (const plan::ChunkTraffic& chunk : plan.chunks) {
    sizes.tokens += chunk.tokens[static_cast<std::size_t>(rank)];
    for (int peer = 0; peer < plan.ranks(); ++peer) {
      sizes.sent += chunk.copies(rank, peer);
      sizes.received += chunk.copies(peer, rank);
    }
  }
  sizes.buckets = std::int64_t{plan.ranks()} * plan.placement.max_local();
  sizes.local_experts = static_cast<int>(plan.placement.experts_of(rank).size());
  return sizes;
}

std::int64_t required_bytes(const BufferSizes& sizes, const plan::LayerShape& shape, int topk, int experts,
                            core::DType compute, int max_chunks, bool gradients) {
  std::int64_t total = 0;
  for (const Request& request : requests(sizes, shape, topk, experts, compute, max_chunks, gradients)) {
    if (__builtin_add_overflow(total, request.bytes, &total)) {
      throw core::InputError("sizes", "memory of the layer's buffers", "over 63 bits", "smaller sizes");
    }
  }
  return total;
}

Buffers allocate(device::Device& device, const BufferSizes& sizes, const plan::LayerShape& shape, int topk, int experts,
                 int max_chunks, bool gradients) {
  Buffers buffers;
  const core::DType compute = device.compute_dtype(shape.combine_dtype);
  for (const Request& request : requests(sizes, shape, topk, experts, compute, max_chunks, gradients)) {
    if (request.bytes > 0) buffers.*request.member = device.allocate(request.bytes, request.use);
  }
  return buffers;
}

}  // namespace ep::layer
