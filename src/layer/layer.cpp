#include "layer/layer.hpp"

#include <algorithm>
#include <utility>

#include "core/step.hpp"
#include "plan/plan.hpp"

namespace ep::layer {

namespace {

BufferSizes sizes_of(const LayerInput& input) {
  return buffer_sizes(plan::make_plan(input.routing, input.placement, input.topology, 1), input.rank);
}

/// One contiguous host copy of `values` in another element type.
std::vector<core::BFloat16> to_bf16(std::span<const float> values) {
  std::vector<core::BFloat16> converted(values.size());
  std::transform(values.begin(), values.end(), converted.begin(), core::to_bfloat16);
  return converted;
}

}  // namespace

Layer::Layer(device::Device& device, exchange::Exchange& exchange, const LayerInput& input)
    : device_(device),
      exchange_(exchange),
      input_(input),
      compute_dtype_(device.compute_dtype(input.shape.combine_dtype)),
      first_token_(routing::first_token(input.routing.tokens, input.placement.ranks(), input.rank)),
      sizes_(sizes_of(input)),
      buffers_(allocate(device, sizes_, input.shape, input.routing.topk, input.routing.experts, input.max_chunks,
                        input.gradients)) {
  fill_rows(buffers_.tokens, buffers_.tokens_compute, TokenValue::hidden_state);
  if (input.gradients) fill_rows(buffers_.output_grad, buffers_.output_grad_compute, TokenValue::output_grad);
  fill_routing();
  fill_experts();
  set_chunks(1);
}

ValueSource Layer::values() const {
  const bool fp32 = input_.shape.dispatch_dtype == core::DType::f32 && input_.shape.combine_dtype == core::DType::f32;
  return {input_.seed, !fp32};
}

void Layer::set_chunks(int chunks) {
  chunks_.assign(static_cast<std::size_t>(chunks), ChunkRows{});
  for (int chunk = 0; chunk < chunks; ++chunk) {
    const plan::TokenRange range =
        plan::chunk_tokens(input_.routing.tokens, input_.placement.ranks(), input_.rank, chunks, chunk);
    ChunkRows& rows = chunks_[static_cast<std::size_t>(chunk)];
    rows.first_token = range.first - first_token_;
    rows.tokens = range.size();
  }
  if (!input_.counts_known) return;
  const auto [planned, made] = planned_.try_emplace(chunks);
  if (made) planned->second = plan_chunks(chunks);
  chunks_ = planned->second;
}

/// The chunks as an exchange of counts would leave them.
std::vector<ChunkRows> Layer::plan_chunks(int chunks) const {
  std::vector<ChunkRows> planned = chunks_;
  const plan::Plan plan = plan::make_plan(input_.routing, input_.placement, input_.topology, chunks);
  std::int64_t send_base = 0;
  std::int64_t recv_base = 0;
  for (int chunk = 0; chunk < chunks; ++chunk) {
    ChunkRows& rows = planned[static_cast<std::size_t>(chunk)];
    plan::RankPlan rank = plan::make_rank_plan(plan, input_.routing, input_.rank, chunk);
    rows.send_counts = std::move(rank.send_counts);
    rows.recv_counts = std::move(rank.recv_counts);
    rows.lay_out(input_.placement.ranks(), input_.placement.max_local());
    rows.send_base = std::exchange(send_base, send_base + rows.sent);
    rows.recv_base = std::exchange(recv_base, recv_base + rows.received);
  }
  return planned;
}

void Layer::upload(const device::Buffer& to, std::int64_t element_offset, std::span<const float> values,
                   core::DType dtype) {
  device::Stream& stream = device_.compute_stream();
  std::byte* const target = to.data() + element_offset * core::size_of(dtype);
  const auto count = static_cast<std::int64_t>(values.size());
  if (dtype == core::DType::f32) {
    device_.copy(stream, target, values.data(), count * core::size_of(dtype));
    device_.synchronize();
  } else {
    const std::vector<core::BFloat16> converted = to_bf16(values);
    device_.copy(stream, target, converted.data(), count * core::size_of(dtype));
    device_.synchronize();
  }
}

void Layer::fill_rows(const device::Buffer& to, const device::Buffer& to_compute, TokenValue value) {
  const auto hidden = static_cast<std::size_t>(input_.shape.hidden);
  std::vector<float> all(static_cast<std::size_t>(sizes_.tokens) * hidden);
  for (std::int64_t token = 0; token < sizes_.tokens; ++token) {
    fill_token(values(), first_token_ + token, std::span(all).subspan(static_cast<std::size_t>(token) * hidden, hidden),
               value);
  }
  if (all.empty()) return;
  upload(to, 0, all, plan::resting_dtype(input_.shape));
  if (to_compute.size_bytes() > 0) upload(to_compute, 0, all, compute_dtype_);
}

void Layer::fill_routing() {
  device::Stream& stream = device_.compute_stream();
  const std::int64_t first = first_token_ * input_.routing.topk;
  const std::int64_t bytes = sizes_.tokens * input_.routing.topk * 4;
  if (bytes > 0) {
    device_.copy(stream, buffers_.expert_ids.data(), input_.routing.expert_ids.data() + first, bytes);
    device_.copy(stream, buffers_.gate_weights.data(), input_.routing.gate_weights.data() + first, bytes);
  }
  std::vector<std::int32_t> keys;
  for (int expert = 0; expert < input_.placement.experts(); ++expert) {
    keys.push_back(kernels::bucket_key(input_.placement.rank_of(expert), input_.placement.slot_of(expert),
                                       input_.placement.max_local()));
  }
  device_.copy(stream, buffers_.expert_key.data(), keys.data(), buffers_.expert_key.size_bytes());
  device_.synchronize();
}

void Layer::fill_experts() {
  const auto fill = [&](const device::Buffer& to, Matrix matrix, std::int64_t expert, std::int64_t slot, int width) {
    const std::int64_t k = matrix == Matrix::gate_up ? input_.shape.hidden : width;
    const std::int64_t n = matrix == Matrix::gate_up ? 2 * std::int64_t{width} : input_.shape.hidden;
    core::enter_step("filling the experts");
    std::vector<float> weights(static_cast<std::size_t>(n * k));
    fill_weights(values(), matrix, expert, k, weights);
    upload(to, slot * n * k, weights, compute_dtype_);
  };
  std::int64_t slot = 0;
  for (const std::int32_t expert : input_.placement.experts_of(input_.rank)) {
    fill(buffers_.gate_up_weights, Matrix::gate_up, expert, slot, input_.shape.ffn);
    fill(buffers_.down_weights, Matrix::down, expert, slot, input_.shape.ffn);
    ++slot;
  }
  if (input_.shape.shared_ffn > 0) {
    fill(buffers_.shared_gate_up, Matrix::gate_up, kSharedExpert, 0, input_.shape.shared_ffn);
    fill(buffers_.shared_down, Matrix::down, kSharedExpert, 0, input_.shape.shared_ffn);
  }
}

std::vector<float> Layer::download(const device::Buffer& from, core::DType dtype) {
  device_.synchronize();
  const auto count = static_cast<std::size_t>(from.size_bytes() / core::size_of(dtype));
  std::vector<float> result(count);
  if (count == 0) return result;
  if (dtype == core::DType::f32) {
    device_.copy(device_.compute_stream(), result.data(), from.data(), from.size_bytes());
    device_.synchronize();
    return result;
  }
  std::vector<core::BFloat16> raw(count);
  device_.copy(device_.compute_stream(), raw.data(), from.data(), from.size_bytes());
  device_.synchronize();
  std::transform(raw.begin(), raw.end(), result.begin(), core::to_float);
  return result;
}

std::vector<float> Layer::output() {
  return download(buffers_.output, input_.shape.combine_dtype);
}

std::vector<float> Layer::token_grad() {
  return download(buffers_.token_grad, input_.shape.combine_dtype);
}

std::vector<float> Layer::gate_grad() {
  return download(buffers_.gate_grad, core::DType::f32);
}

std::vector<float> Layer::weights_grad(Matrix matrix, std::int64_t slot) {
  const bool up = matrix == Matrix::gate_up;
  const device::Buffer& shared = up ? buffers_.shared_gate_up_grad : buffers_.shared_down_grad;
  if (slot == kSharedSlot) return download(shared, core::DType::f32);
  device_.synchronize();
  const std::int64_t count = std::int64_t{up ? 2 : 1} * input_.shape.ffn * input_.shape.hidden;
  const device::Buffer& all = up ? buffers_.gate_up_weights_grad : buffers_.down_weights_grad;
  std::vector<float> result(static_cast<std::size_t>(count));
  device_.copy(device_.compute_stream(), result.data(), all.as<float>() + slot * count,
               count * std::int64_t{sizeof(float)});
  device_.synchronize();
  return result;
}

std::vector<std::int32_t> Layer::positions() {
  std::vector<std::int32_t> result(static_cast<std::size_t>(sizes_.tokens * input_.routing.topk));
  if (!result.empty()) {
    device_.copy(device_.compute_stream(), result.data(), buffers_.position.data(), buffers_.position.size_bytes());
  }
  device_.synchronize();
  return result;
}

}  // namespace ep::layer
