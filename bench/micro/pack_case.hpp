#pragma once
#include <cstdint>
#include <cstring>

#include "bench/micro/sample_traffic.hpp"
#include "device/device.hpp"
#include "kernels/pack.hpp"

namespace ep::bench {

inline constexpr std::int64_t kRowBytes = 4096 * 2;  // hidden 4096, bf16

/// Rank 0 packing its tokens, with the buffers of the layer.
struct PackCase {
  PackCase(device::Device& device, std::int64_t tokens, int topk)
      : traffic(tokens, topk),
        rows(device.allocate(tokens * kRowBytes, device::MemoryUse::device)),
        send(device.allocate(traffic.copies() * kRowBytes, device::MemoryUse::send)),
        recv(device.allocate(traffic.copies() * kRowBytes, device::MemoryUse::receive)) {
    std::memset(rows.data(), 1, static_cast<std::size_t>(rows.size_bytes()));
  }
  void pack() const {
    kernels::pack_cpu({rows.data(), traffic.position.data(), traffic.tokens, traffic.topk, kRowBytes, send.data(),
                       traffic.own, recv.data()});
  }
  [[nodiscard]] std::int64_t bytes() const { return (traffic.tokens + traffic.copies()) * kRowBytes; }

  SampleTraffic traffic;
  device::Buffer rows;
  device::Buffer send;
  device::Buffer recv;
};

}  // namespace ep::bench
