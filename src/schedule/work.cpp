#include "schedule/work.hpp"

#include <array>

#include "core/error.hpp"

namespace ep::schedule {

namespace {

const plan::ChunkTraffic& traffic(const plan::Plan& plan, int chunk) {
  return plan.chunks[static_cast<std::size_t>(chunk)];
}

/// bytes(rank) for every rank, as the work of one kernel.
template <class Bytes>
Work memory_work(const plan::Plan& plan, OpKind kernel, Bytes bytes) {
  MemoryWork work{kernel, {}};
  work.bytes.reserve(static_cast<std::size_t>(plan.ranks()));
  for (int rank = 0; rank < plan.ranks(); ++rank) work.bytes.push_back(bytes(rank));
  Work result;
  result.memory.push_back(std::move(work));
  return result;
}

std::int64_t sent(const plan::ChunkTraffic& chunk, int rank) {
  if (chunk.expected) return chunk.expected->sent[static_cast<std::size_t>(rank)];
  std::int64_t rows = 0;
  for (const std::int64_t copies : chunk.copies.row(rank)) rows += copies;
  return rows;
}

std::int64_t received(const plan::ChunkTraffic& chunk, int rank) {
  if (chunk.expected) return chunk.expected->received[static_cast<std::size_t>(rank)];
  std::int64_t rows = 0;
  for (int source = 0; source < static_cast<int>(chunk.copies.rows()); ++source) rows += chunk.copies(source, rank);
  return rows;
}

std::int64_t chunk_token_count(const plan::ChunkTraffic& chunk, int rank) {
  return chunk.tokens[static_cast<std::size_t>(rank)];
}

/// [ranks, max_local] rows that each local expert computes on.
std::shared_ptr<const core::Matrix<std::int64_t>> expert_rows(const plan::Plan& plan, int chunk) {
  if (const auto& expected = traffic(plan, chunk).expected) return {expected, &expected->expert_rows};
  auto rows = std::make_shared<core::Matrix<std::int64_t>>(plan.ranks(), plan.placement.max_local());
  const auto& copies = traffic(plan, chunk).expert_copies;
  for (int expert = 0; expert < plan.placement.experts(); ++expert) {
    for (int source = 0; source < plan.ranks(); ++source) {
      (*rows)(plan.placement.rank_of(expert), plan.placement.slot_of(expert)) += copies(source, expert);
    }
  }
  return rows;
}

struct GemmShape {
  std::int64_t n;
  std::int64_t k;
  bool weight_grad;
};

/// The GEMM of an expert of width `ffn`. A gradient of weights has their shape.
GemmShape gemm_shape(OpKind kind, std::int64_t hidden, std::int64_t ffn) {
  switch (kind) {
    case OpKind::gate_up:
    case OpKind::gate_up_dw:
      return {2 * ffn, hidden, kind == OpKind::gate_up_dw};
    case OpKind::down:
    case OpKind::down_dw:
      return {hidden, ffn, kind == OpKind::down_dw};
    case OpKind::down_dx:
      return {ffn, hidden, false};
    case OpKind::gate_up_dx:
      return {hidden, 2 * ffn, false};
    default:
      break;
  }
  throw core::Error(core::ExitCode::internal, "schedule: not a GEMM");
}

/// What rows are made of in the exchange of this kind, and in its neighbours.
core::DType payload_dtype(const plan::LayerShape& shape, OpKind kind) {
  if (kind == OpKind::combine || kind == OpKind::ungroup) return shape.combine_dtype;
  const bool hidden_states = kind == OpKind::pack || kind == OpKind::dispatch || kind == OpKind::regroup;
  return hidden_states ? shape.dispatch_dtype : plan::resting_dtype(shape);
}

/// Elements that it reads and writes for each of rows * ffn.
std::int64_t swiglu_elements(OpKind kernel) {
  return kernel == OpKind::swiglu ? 3 : 5;
}

std::array<OpKind, 2> shared_gemms(OpKind kind) {
  if (kind == OpKind::shared) return {OpKind::gate_up, OpKind::down};
  if (kind == OpKind::shared_dx) return {OpKind::down_dx, OpKind::gate_up_dx};
  return {OpKind::down_dw, OpKind::gate_up_dw};
}

}  // namespace

std::int64_t rank_tokens(const plan::Plan& plan, int rank) {
  std::int64_t tokens = 0;
  for (const plan::ChunkTraffic& chunk : plan.chunks) tokens += chunk_token_count(chunk, rank);
  return tokens;
}

Work bucket_work(const plan::Plan& plan, int chunk) {
  // Each id is read for the count and again for the scatter; a position is written.
  return memory_work(plan, OpKind::bucket, [&](int rank) {
    return chunk_token_count(traffic(plan, chunk), rank) * plan.topk * std::int64_t{3 * sizeof(std::int32_t)};
  });
}

Work counts_work(const plan::Plan& plan) {
  Work work;
  work.counts.push_back({static_cast<std::int64_t>(plan.chunks.size()) * plan.placement.max_local() *
                         std::int64_t{sizeof(std::int32_t)}});
  return work;
}

Work quantise_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk) {
  const std::int64_t bytes =
      plan::row_bytes(shape.hidden, plan::resting_dtype(shape)) + plan::row_bytes(shape.hidden, shape.dispatch_dtype);
  return memory_work(plan, OpKind::quantise,
                     [&](int rank) { return chunk_token_count(traffic(plan, chunk), rank) * bytes; });
}

Work pack_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk, OpKind kernel) {
  const std::int64_t row = plan::row_bytes(shape.hidden, payload_dtype(shape, kernel));
  return memory_work(plan, kernel, [&](int rank) {
    return (chunk_token_count(traffic(plan, chunk), rank) + sent(traffic(plan, chunk), rank)) * row;
  });
}

Work exchange_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk, OpKind kind) {
  const bool back = kind == OpKind::combine;
  ExchangeWork exchange;
  exchange.row_bytes = plan::row_bytes(shape.hidden, payload_dtype(shape, kind));
  if (const auto& expected = traffic(plan, chunk).expected) {
    exchange.loads = std::make_shared<plan::ExchangeLoads>(back ? plan::reversed(expected->loads) : expected->loads);
  } else {
    const auto& copies = traffic(plan, chunk).copies;
    exchange.rows = std::make_shared<core::Matrix<std::int64_t>>(back ? core::transpose(copies) : copies);
  }
  Work work;
  work.exchange.push_back(std::move(exchange));
  return work;
}

Work regroup_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk, OpKind kernel) {
  const core::DType travelled = payload_dtype(shape, kernel);
  const bool dequantises = travelled == core::DType::e4m3;
  const std::int64_t row = plan::row_bytes(shape.hidden, travelled) +
                           plan::row_bytes(shape.hidden, dequantises ? plan::resting_dtype(shape) : travelled);
  // Gradients are moved by the kernel that moves hidden states, unless that dequantises.
  const bool one_kernel = kernel == OpKind::regroup_grad && shape.dispatch_dtype != core::DType::e4m3;
  return memory_work(plan, one_kernel ? OpKind::regroup : kernel,
                     [&](int rank) { return received(traffic(plan, chunk), rank) * row; });
}

Work expert_gemm_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk, OpKind kind) {
  const GemmShape gemm = gemm_shape(kind, shape.hidden, shape.ffn);
  Work work;
  work.gemm.push_back({gemm.n, gemm.k, expert_rows(plan, chunk), gemm.weight_grad});
  return work;
}

Work swiglu_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk, OpKind kernel) {
  const std::int64_t row = swiglu_elements(kernel) * shape.ffn * core::size_of(shape.combine_dtype);
  return memory_work(plan, kernel, [&](int rank) { return received(traffic(plan, chunk), rank) * row; });
}

Work reduce_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk) {
  const std::int64_t row = plan::row_bytes(shape.hidden, shape.combine_dtype);
  return memory_work(plan, OpKind::reduce, [&](int rank) {
    const std::int64_t shared_rows = shape.shared_ffn > 0 ? chunk_token_count(traffic(plan, chunk), rank) : 0;
    return (sent(traffic(plan, chunk), rank) + chunk_token_count(traffic(plan, chunk), rank) + shared_rows) * row;
  });
}

Work gate_grad_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk) {
  const std::int64_t gradient = plan::row_bytes(shape.hidden, plan::resting_dtype(shape));
  const std::int64_t result = plan::row_bytes(shape.hidden, shape.combine_dtype);
  return memory_work(plan, OpKind::gate_grad, [&](int rank) {
    return chunk_token_count(traffic(plan, chunk), rank) * gradient + sent(traffic(plan, chunk), rank) * result;
  });
}

Work shared_work(const plan::Plan& plan, const plan::LayerShape& shape, int part, int parts, OpKind kind) {
  auto rows = std::make_shared<core::Matrix<std::int64_t>>(plan.ranks(), 1);
  for (int rank = 0; rank < plan.ranks(); ++rank) {
    const std::int64_t tokens = rank_tokens(plan, rank);
    (*rows)(rank, 0) = tokens * (part + 1) / parts - tokens * part / parts;
  }
  Work work;
  if (kind != OpKind::shared_dw) {
    const OpKind kernel = kind == OpKind::shared ? OpKind::swiglu : OpKind::swiglu_grad;
    const std::int64_t row = swiglu_elements(kernel) * shape.shared_ffn * core::size_of(shape.combine_dtype);
    work = memory_work(plan, kernel, [&](int rank) { return (*rows)(rank, 0) * row; });
  }
  for (const OpKind gemm : shared_gemms(kind)) {
    const GemmShape size = gemm_shape(gemm, shape.hidden, shape.shared_ffn);
    work.gemm.push_back({size.n, size.k, rows, size.weight_grad});
  }
  return work;
}

}  // namespace ep::schedule
