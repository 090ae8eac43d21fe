#pragma once
#include <cstdint>
#include <map>
#include <vector>

#include "device/device.hpp"
#include "exchange/exchange.hpp"
#include "layer/buffers.hpp"
#include "layer/rows.hpp"
#include "plan/plan.hpp"
#include "routing/routing.hpp"
#include "schedule/schedule.hpp"

namespace ep::layer {

/// What a layer is made of. The references must outlive it.
struct LayerInput {
  const routing::Routing& routing;
  const placement::Placement& placement;
  const placement::Topology& topology;
  plan::LayerShape shape;
  std::uint64_t seed = 0;
  int rank = 0;
  int max_chunks = 1;
  bool gradients = false;     // whether a backward pass will run
  bool counts_known = false;  // from the plan: schedules need not exchange counts
};

/// One rank's mixture-of-experts layer: real weights and tokens in device memory, and what each kind of operation does
/// with them. It knows neither strategy nor back end. Calls come from one host thread.
class Layer {
 public:
  /// Allocates and fills everything. Throws Error (unsupported) when there is too little memory.
  Layer(device::Device& device, exchange::Exchange& exchange, const LayerInput& input);

  /// Says how the tokens are cut before a schedule with that many chunks runs.
  void set_chunks(int chunks);

  /// Enqueues an operation of the compute or comm lane. @pre collective for exchanges, same order on every rank
  void launch(const schedule::Operation& op, device::Stream& stream);

  /// Runs an operation of the host lane and returns when it is done. @pre collective
  void run_on_host(const schedule::Operation& op);

  /// Waits for the device and copies the output [tokens, hidden] of this rank to the host as fp32.
  std::vector<float> output();
  /// Waits for the device and copies the gradient of the rank's tokens [tokens, hidden] to the host as fp32.
  std::vector<float> token_grad();
  /// Waits for the device and copies the gradients of the gate weights [tokens, topk] to the host; 0 where masked.
  std::vector<float> gate_grad();
  /// Waits for the device and copies the gradient of the weights of the rank's `slot`-th expert, or of the shared
  /// expert (kSharedSlot), to the host: [2 ffn, hidden] or [hidden, ffn]. Over this rank's tokens alone for the latter.
  std::vector<float> weights_grad(Matrix matrix, std::int64_t slot);
  static constexpr std::int64_t kSharedSlot = -1;
  /// Waits for the device and copies the bucket-order positions [tokens, topk] to the host.
  std::vector<std::int32_t> positions();
  [[nodiscard]] const std::vector<ChunkRows>& chunks() const { return chunks_; }
  [[nodiscard]] device::Device& device() { return device_; }
  [[nodiscard]] const LayerInput& input() const { return input_; }
  [[nodiscard]] ValueSource values() const;

 private:
  void fill_rows(const device::Buffer& to, const device::Buffer& to_compute, TokenValue value);
  void fill_routing();
  void fill_experts();
  void upload(const device::Buffer& to, std::int64_t element_offset, std::span<const float> values, core::DType dtype);

  void bucket(const ChunkRows& rows, int chunk, device::Stream& stream);
  void quantise(const ChunkRows& rows, device::Stream& stream);
  void pack(const ChunkRows& rows, device::Stream& stream);
  /// What travels to the experts in one pass. Rows of one length share their buffers. fp8 does not with gradients:
  /// either half of a pass, timed alone, works on what the last whole pass left, which must not be the other's rows
  /// misread.
  struct Outbound {
    core::DType dtype;
    const device::Buffer& send;
    const device::Buffer& recv;
    std::int64_t row_bytes;
  };
  [[nodiscard]] Outbound hidden_states() const;
  [[nodiscard]] Outbound gradients() const;
  void dispatch(const ChunkRows& rows, const Outbound& outbound, device::Stream& stream);
  void upload_segments(const ChunkRows& rows, int chunk, device::Stream& stream);
  /// A GEMM of every expert over the chunk's rows of two buffers, [received, k] -> [received, n].
  struct Gemm {
    const device::Buffer& in;
    const device::Buffer& weights;
    const device::Buffer& out;
    std::int64_t n;
    std::int64_t k;
    bool k_by_n = false;
  };
  void expert_gemm(const ChunkRows& rows, const Gemm& gemm, device::Stream& stream);
  void gate_up(const ChunkRows& rows, device::Stream& stream);
  void swiglu(const ChunkRows& rows, device::Stream& stream);
  void down(const ChunkRows& rows, device::Stream& stream);
  /// A part of the rank's tokens, and where their rows lie in the shared expert's scratch.
  struct SharedRange {
    std::int64_t first;
    std::int64_t rows;
    std::byte* gate_up;     // [rows, 2 shared_ffn]
    std::byte* activation;  // [rows, shared_ffn]
  };
  [[nodiscard]] SharedRange shared_range(int part, int parts, const device::Buffer& scratch) const;
  void shared(int part, int parts, device::Stream& stream);
  void exchange_counts();
  std::vector<ChunkRows> plan_chunks(int chunks) const;

  void launch_backward(const schedule::Operation& op, const ChunkRows& rows, device::Stream& stream);
  void gate_grad(const ChunkRows& rows, device::Stream& stream);
  void pack_grad(const ChunkRows& rows, device::Stream& stream);
  void down_dx(const ChunkRows& rows, device::Stream& stream);
  void down_dw(const ChunkRows& rows, int chunk, device::Stream& stream);
  void swiglu_grad(const ChunkRows& rows, device::Stream& stream);
  void gate_up_dx(const ChunkRows& rows, device::Stream& stream);
  void gate_up_dw(const ChunkRows& rows, int chunk, device::Stream& stream);
  /// The gradient of every expert's weights [n, k] from its rows of gradients [received, n] and inputs [received, k].
  struct WeightGradient {
    const device::Buffer& out_grad;
    const device::Buffer& in;
    const device::Buffer& out;
    std::int64_t n;
    std::int64_t k;
  };
  void expert_dw(const ChunkRows& rows, int chunk, const WeightGradient& gradient, device::Stream& stream);
  void shared_dx(int part, int parts, device::Stream& stream);
  void shared_dw(int part, int parts, device::Stream& stream);

  void ungroup(const ChunkRows& rows, int chunk, const device::Buffer& from, const device::Buffer& own,
               device::Stream& stream);
  void combine(const ChunkRows& rows, const device::Buffer& to, device::Stream& stream);
  /// Adds up the chunk's copies of each token: `weights` null, they count once each. `shared`: what is added.
  void reduce(const ChunkRows& rows, const device::Buffer& from, const float* weights, const device::Buffer& shared,
              const device::Buffer& to, device::Stream& stream);
  void regroup(const ChunkRows& rows, int chunk, const Outbound& from, const device::Buffer& to,
               device::Stream& stream);
  std::vector<float> download(const device::Buffer& from, core::DType dtype);

  /// Of a buffer and its counterpart in another type, which is empty where one serves as both.
  static const device::Buffer& counterpart(const device::Buffer& buffer, const device::Buffer& other) {
    return other.size_bytes() > 0 ? other : buffer;
  }

  device::Device& device_;
  exchange::Exchange& exchange_;
  LayerInput input_;
  core::DType compute_dtype_;
  std::int64_t first_token_;  // of this rank, in the whole job
  BufferSizes sizes_;
  Buffers buffers_;
  std::vector<ChunkRows> chunks_;
  std::map<int, std::vector<ChunkRows>> planned_;  // by number of chunks, where counts are known
};

}  // namespace ep::layer
