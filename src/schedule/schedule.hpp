#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/matrix.hpp"
#include "plan/plan.hpp"

namespace ep::schedule {

/// Where an operation runs: two streams of the device, and the host thread for what blocks it.
enum class Lane : std::uint8_t { host, compute, comm };
std::string_view name_of(Lane lane);

/// Which passes an iteration runs; a step is both.
enum class Direction : std::uint8_t { forward, backward, step };
std::string_view name_of(Direction direction);
/// Parses what name_of prints. Throws InputError naming `field`.
Direction parse_direction(std::string_view word, std::string_view field);

/// What an operation does; each kind is one kernel, GEMM or exchange of the layer. Those of the backward pass end in
/// _grad, where they do to gradients what the kind before does to hidden states, in _dx (the gradient of a layer's
/// input) or in _dw (the gradient of its weights).
enum class OpKind : std::uint8_t {
  bucket,           // order the chunk's copies by (destination rank, local expert), count them
  exchange_counts,  // every rank learns what it will receive (blocks the host)
  quantise,         // token rows -> fp8 rows, once each; only where dispatch is fp8
  pack,             // copy token rows into the send buffer; own-rank rows straight into the receive buffer
  dispatch,         // all-to-all, tokens to experts
  regroup,          // arrival order -> expert order; fp8 rows are dequantised
  gate_up,          // grouped GEMM, [rows, hidden] x [hidden, 2 ffn]
  swiglu,           // [rows, 2 ffn] -> [rows, ffn]
  down,             // grouped GEMM, [rows, ffn] x [ffn, hidden]
  ungroup,          // expert order -> arrival order, into the combine send buffer
  combine,          // all-to-all, results back
  reduce,           // weighted sum over a token's copies, plus the shared expert
  shared,           // the shared expert on a range of the rank's own tokens: GEMM, SwiGLU, GEMM
  gate_grad,        // gradient of a gate weight: output gradient of the token times what the expert returned for it
  pack_grad,        // copy output gradients into the send buffer, each times its gate weight
  dispatch_grad,    // all-to-all, gradients to experts
  regroup_grad,     // arrival order -> expert order
  down_dx,          // grouped GEMM, [rows, hidden] x [hidden, ffn]
  down_dw,          // a GEMM an expert, [hidden, rows] x [rows, ffn], added up over chunks in fp32
  swiglu_grad,      // [rows, ffn] and the forward's [rows, 2 ffn] -> [rows, 2 ffn]
  gate_up_dx,       // grouped GEMM, [rows, 2 ffn] x [2 ffn, hidden]
  gate_up_dw,       // a GEMM an expert, [2 ffn, rows] x [rows, hidden], likewise
  ungroup_grad,     // expert order -> arrival order, into the combine send buffer
  combine_grad,     // all-to-all, gradients back to their tokens
  reduce_grad,      // sum over a token's copies, plus the shared expert's
  shared_dx,        // the shared expert's down_dx, SwiGLU gradient and gate_up_dx on a range of tokens
  shared_dw,        // its two weight gradients, over the same range
};
std::string_view name_of(OpKind kind);
/// Whether it moves rows between ranks.
constexpr bool is_exchange(OpKind kind) {
  using enum OpKind;
  return kind == dispatch || kind == combine || kind == dispatch_grad || kind == combine_grad;
}

/// Symbolic buffers. Those with a chunk exist once a chunk. The backward pass reads what the forward left in expert_in,
/// gate_up, activation, combine_recv and shared_scratch, and uses send, recv, expert_out and combine_send anew.
enum class BufferKind : std::uint8_t {
  tokens,
  quantised,
  routing,
  buckets,
  counts,
  send,
  recv,
  expert_in,
  gate_up,
  activation,
  expert_out,
  combine_send,
  combine_recv,
  shared_scratch,
  shared_out,
  output,
  gate_grad,
  activation_grad,
  gate_up_grad,
  expert_in_grad,
  grad_recv,
  gate_up_weights_grad,
  down_weights_grad,
  shared_grad_scratch,
  shared_in_grad,
  shared_weights_grad,
  token_grad,
};
struct BufferId {
  BufferKind kind;
  int part = 0;  // chunk, or the part of the shared expert
  bool operator==(const BufferId&) const = default;
};

/// Bytes a kernel reads and writes, per rank. Cost: bytes / measured bandwidth of that kernel + launch.
struct MemoryWork {
  OpKind kernel;                    // whose calibrated bandwidth applies
  std::vector<std::int64_t> bytes;  // [ranks]
};

/// A grouped GEMM: every group (local expert) multiplies [rows, k] by [k, n]; for a gradient of weights [n, rows] by
/// [rows, k].
struct GemmWork {
  std::int64_t n = 0;
  std::int64_t k = 0;
  std::shared_ptr<const core::Matrix<std::int64_t>> rows;  // [ranks, groups]
  bool weight_grad = false;
};

/// An all-to-all: entry (s, d) is what rank s sends to rank d; the diagonal stays where it is. Of an expected plan,
/// which can only be predicted, there are sums in place of the matrix.
struct ExchangeWork {
  std::shared_ptr<const core::Matrix<std::int64_t>> rows;  // [ranks, ranks]; null: `loads` stands for it
  std::int64_t row_bytes = 0;                              // on the wire, padding included
  std::shared_ptr<const plan::ExchangeLoads> loads{};      // [ranks]
};

/// The small all-to-all that blocks the host: the same bytes to every peer.
struct CountWork {
  std::int64_t bytes_per_peer = 0;
};

/// What an operation costs, as data: executing it does this, predicting it prices this. Empty members cost nothing.
struct Work {
  std::vector<MemoryWork> memory;
  std::vector<GemmWork> gemm;
  std::vector<ExchangeWork> exchange;
  std::vector<CountWork> counts;
};

/// One step of the layer. `id` is its position in the schedule, which is the order the host issues it in.
struct Operation {
  int id = 0;
  std::string name;  // kind, with the chunk where there are several: "dispatch[2]"
  OpKind kind{};
  Lane lane{};
  int part = 0;   // chunk, or the part of the shared expert
  int parts = 1;  // of how many
  Work work;
  std::vector<BufferId> reads;
  std::vector<BufferId> writes;
  std::vector<int> waits;  // ids of earlier operations that must have ended, beyond stream order
};

/// One strategy applied to one plan: what all ranks do, in the order every rank issues it. Only work differs by rank.
struct Schedule {
  std::string strategy;   // as the user wrote it: "overlapped", "chunked:4"
  std::string direction;  // "forward", "backward", "step"
  int chunks = 1;
  std::vector<Operation> ops;
  std::shared_ptr<const Schedule> needs{};  // whose results a backward pass reads: a forward pass; null otherwise
};

/// Two operations that touch the same buffer, one writing, in no order.
struct Race {
  int first = 0;
  int second = 0;
  BufferId buffer{};
};

/// Every race of the schedule. Order comes from a stream's own order, from waits, and from the host lane: what is
/// issued after a host operation runs after it. Quadratic in operations.
std::vector<Race> find_races(const Schedule& schedule);

/// Throws core::Error (internal) unless ids are positions, waits point backwards and find_races is empty.
void validate(const Schedule& schedule);

}  // namespace ep::schedule
