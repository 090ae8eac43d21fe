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
  /// Waits for the device and copies the bucket-order positions [tokens, topk] to the host.
  std::vector<std::int32_t> positions();
  [[nodiscard]] const std::vector<ChunkRows>& chunks() const { return chunks_; }
  [[nodiscard]] device::Device& device() { return device_; }
  [[nodiscard]] const LayerInput& input() const { return input_; }
  [[nodiscard]] ValueSource values() const;

 private:
  void fill_tokens();
  void fill_routing();
  void fill_experts();
  void upload(const device::Buffer& to, std::int64_t element_offset, std::span<const float> values, core::DType dtype);

  void bucket(const ChunkRows& rows, int chunk, device::Stream& stream);
  void pack(const ChunkRows& rows, device::Stream& stream);
  void dispatch(const ChunkRows& rows, device::Stream& stream);
  void regroup(const ChunkRows& rows, int chunk, device::Stream& stream);
  void gate_up(const ChunkRows& rows, device::Stream& stream);
  void swiglu(const ChunkRows& rows, device::Stream& stream);
  void down(const ChunkRows& rows, device::Stream& stream);
  void ungroup(const ChunkRows& rows, int chunk, device::Stream& stream);
  void combine(const ChunkRows& rows, device::Stream& stream);
  void reduce(const ChunkRows& rows, device::Stream& stream);
  void shared(int part, int parts, device::Stream& stream);
  void exchange_counts();
  std::vector<ChunkRows> plan_chunks(int chunks) const;

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
