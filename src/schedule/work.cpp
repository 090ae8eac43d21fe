#include "schedule/work.hpp"

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
  std::int64_t rows = 0;
  for (const std::int64_t copies : chunk.copies.row(rank)) rows += copies;
  return rows;
}

std::int64_t received(const plan::ChunkTraffic& chunk, int rank) {
  std::int64_t rows = 0;
  for (int source = 0; source < static_cast<int>(chunk.copies.rows()); ++source) rows += chunk.copies(source, rank);
  return rows;
}

std::int64_t chunk_token_count(const plan::ChunkTraffic& chunk, int rank) {
  return chunk.tokens[static_cast<std::size_t>(rank)];
}

/// [ranks, max_local] rows that each local expert computes on.
std::shared_ptr<const core::Matrix<std::int64_t>> expert_rows(const plan::Plan& plan, int chunk) {
  auto rows = std::make_shared<core::Matrix<std::int64_t>>(plan.ranks(), plan.placement.max_local());
  const auto& copies = traffic(plan, chunk).expert_copies;
  for (int expert = 0; expert < plan.placement.experts(); ++expert) {
    for (int source = 0; source < plan.ranks(); ++source) {
      (*rows)(plan.placement.rank_of(expert), plan.placement.slot_of(expert)) += copies(source, expert);
    }
  }
  return rows;
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

Work pack_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk) {
  const std::int64_t row = plan::row_bytes(shape.hidden, shape.dispatch_dtype);
  return memory_work(plan, OpKind::pack, [&](int rank) {
    return (chunk_token_count(traffic(plan, chunk), rank) + sent(traffic(plan, chunk), rank)) * row;
  });
}

Work exchange_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk, OpKind direction) {
  const auto& copies = traffic(plan, chunk).copies;
  const bool back = direction == OpKind::combine;
  Work work;
  work.exchange.push_back({std::make_shared<core::Matrix<std::int64_t>>(back ? core::transpose(copies) : copies),
                           plan::row_bytes(shape.hidden, back ? shape.combine_dtype : shape.dispatch_dtype)});
  return work;
}

Work regroup_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk, OpKind kernel) {
  const core::DType dtype = kernel == OpKind::ungroup ? shape.combine_dtype : shape.dispatch_dtype;
  const std::int64_t row = plan::row_bytes(shape.hidden, dtype);
  return memory_work(plan, kernel, [&](int rank) { return 2 * received(traffic(plan, chunk), rank) * row; });
}

Work expert_gemm_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk, OpKind kind) {
  const bool up = kind == OpKind::gate_up;
  Work work;
  work.gemm.push_back(
      {up ? 2 * std::int64_t{shape.ffn} : shape.hidden, up ? shape.hidden : shape.ffn, expert_rows(plan, chunk)});
  return work;
}

Work swiglu_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk) {
  const std::int64_t row = 3 * std::int64_t{shape.ffn} * core::size_of(shape.combine_dtype);
  return memory_work(plan, OpKind::swiglu, [&](int rank) { return received(traffic(plan, chunk), rank) * row; });
}

Work reduce_work(const plan::Plan& plan, const plan::LayerShape& shape, int chunk) {
  const std::int64_t row = plan::row_bytes(shape.hidden, shape.combine_dtype);
  return memory_work(plan, OpKind::reduce, [&](int rank) {
    const std::int64_t shared_rows = shape.shared_ffn > 0 ? chunk_token_count(traffic(plan, chunk), rank) : 0;
    return (sent(traffic(plan, chunk), rank) + chunk_token_count(traffic(plan, chunk), rank) + shared_rows) * row;
  });
}

Work shared_work(const plan::Plan& plan, const plan::LayerShape& shape, int part, int parts) {
  auto rows = std::make_shared<core::Matrix<std::int64_t>>(plan.ranks(), 1);
  for (int rank = 0; rank < plan.ranks(); ++rank) {
    const std::int64_t tokens = rank_tokens(plan, rank);
    (*rows)(rank, 0) = tokens * (part + 1) / parts - tokens * part / parts;
  }
  const std::int64_t element = core::size_of(shape.combine_dtype);
  Work work =
      memory_work(plan, OpKind::swiglu, [&](int rank) { return (*rows)(rank, 0) * 3 * shape.shared_ffn * element; });
  work.gemm.push_back({2 * std::int64_t{shape.shared_ffn}, shape.hidden, rows});
  work.gemm.push_back({shape.hidden, shape.shared_ffn, rows});
  return work;
}

}  // namespace ep::schedule
