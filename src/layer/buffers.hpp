#pragma once
#include <cstdint>
#include <string>

#include "device/device.hpp"
#include "layer/values.hpp"
#include "plan/plan.hpp"
#include "routing/routing.hpp"

namespace ep::layer {

/// How many rows and elements one rank's buffers need, for any chunking of the same routing.
struct BufferSizes {
  std::int64_t tokens = 0;
  std::int64_t sent = 0;      // copies of the rank's tokens
  std::int64_t received = 0;  // copies that reach its experts
  std::int64_t buckets = 0;   // ranks * max_local
  int local_experts = 0;
};

BufferSizes buffer_sizes(const plan::Plan& plan, int rank);

/// Device memory of one rank's layer, allocated once. Chunks are slices of whole buffers, so chunking needs no more.
struct Buffers {
  // Resident: filled once.
  device::Buffer tokens;           // [tokens, hidden] of plan::resting_dtype
  device::Buffer tokens_compute;   // the same in the compute dtype, for the shared expert; empty when equal
  device::Buffer expert_ids;       // [tokens, topk] int32
  device::Buffer gate_weights;     // [tokens, topk] fp32
  device::Buffer expert_key;       // [experts] int32
  device::Buffer gate_up_weights;  // [local experts, 2 ffn, hidden] compute dtype
  device::Buffer down_weights;     // [local experts, hidden, ffn]
  device::Buffer shared_gate_up;   // [2 shared_ffn, hidden]
  device::Buffer shared_down;      // [hidden, shared_ffn]
  // Filled by every iteration.
  device::Buffer counts;          // [max chunks, ranks, max_local] int32
  device::Buffer counts_host;     // the same, pinned
  device::Buffer position;        // [tokens, topk] int32
  device::Buffer quantised;       // [tokens, row] dispatch; empty unless that is fp8
  device::Buffer send;            // [sent, row] dispatch
  device::Buffer recv;            // [received, row]
  device::Buffer segments;        // two lists a chunk, [max chunks, 2, ranks * max_local]
  device::Buffer expert_in;       // [received, hidden] compute dtype
  device::Buffer gate_up;         // [received, 2 ffn]
  device::Buffer activation;      // [received, ffn]
  device::Buffer expert_out;      // [received, hidden]
  device::Buffer combine_send;    // [received, hidden] combine dtype
  device::Buffer combine_recv;    // [sent, hidden]
  device::Buffer shared_scratch;  // [tokens, 2 shared_ffn], then [tokens, shared_ffn], compute dtype
  device::Buffer shared_out;      // [tokens, hidden] compute dtype
  device::Buffer output;          // [tokens, hidden] combine dtype
  // Of the backward pass; empty without one. The gradient of expert_out lies in expert_out.
  device::Buffer output_grad;           // [tokens, hidden] resting dtype; resident
  device::Buffer output_grad_compute;   // the same in the compute dtype, for the shared expert; empty when equal
  device::Buffer gate_grad;             // [tokens, topk] fp32
  device::Buffer send_grad;             // [sent, hidden] resting dtype; empty unless dispatch is fp8: send serves
  device::Buffer recv_grad;             // [received, hidden], likewise
  device::Buffer activation_grad;       // [received, ffn] compute dtype
  device::Buffer gate_up_grad;          // [received, 2 ffn]
  device::Buffer expert_in_grad;        // [received, hidden]
  device::Buffer grad_recv;             // [sent, hidden] combine dtype
  device::Buffer gate_up_weights_grad;  // [local experts, 2 ffn, hidden] fp32
  device::Buffer down_weights_grad;     // [local experts, hidden, ffn] fp32
  device::Buffer shared_grad_scratch;   // as shared_scratch
  device::Buffer shared_in_grad;        // [tokens, hidden]
  device::Buffer shared_gate_up_grad;   // [2 shared_ffn, hidden] fp32
  device::Buffer shared_down_grad;      // [hidden, shared_ffn] fp32
  device::Buffer token_grad;            // [tokens, hidden] combine dtype
};

/// Address of row `row` in a buffer of rows.
inline std::byte* at(const device::Buffer& buffer, std::int64_t row, std::int64_t row_bytes) {
  return buffer.data() + row * row_bytes;
}

/// Bytes `allocate` will take on a rank, before anything is allocated. Throws InputError when sizes overflow.
std::int64_t required_bytes(const BufferSizes& sizes, const plan::LayerShape& shape, int topk, int experts,
                            core::DType compute, int max_chunks, bool gradients = false);

/// Throws Error (unsupported) when the device has too little memory.
Buffers allocate(device::Device& device, const BufferSizes& sizes, const plan::LayerShape& shape, int topk, int experts,
                 int max_chunks, bool gradients);

}  // namespace ep::layer
