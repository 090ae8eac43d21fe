#pragma once
#include <atomic>
#include <cstdint>

#include "exchange/exchange.hpp"

namespace ep::exchange {

/// Progress as the communication stream's thread keeps it and any other reads it.
class ProgressRecord {
 public:
  void start(std::int64_t bytes_to_send, std::int64_t bytes_to_receive) {
    to_send_.store(bytes_to_send, kRelaxed);
    to_receive_.store(bytes_to_receive, kRelaxed);
    waiting_for_.store(-1, kRelaxed);
    started_.fetch_add(1, kRelaxed);
  }
  void sent(std::int64_t bytes) { to_send_.fetch_sub(bytes, kRelaxed); }
  void received(std::int64_t bytes) { to_receive_.fetch_sub(bytes, kRelaxed); }
  void waiting_for(int rank) { waiting_for_.store(rank, kRelaxed); }
  void finish() {
    waiting_for_.store(-1, kRelaxed);
    finished_.fetch_add(1, kRelaxed);
  }
  [[nodiscard]] Progress snapshot() const {
    return {started_.load(kRelaxed), finished_.load(kRelaxed), to_send_.load(kRelaxed), to_receive_.load(kRelaxed),
            waiting_for_.load(kRelaxed)};
  }

 private:
  static constexpr auto kRelaxed = std::memory_order_relaxed;  // nothing else is published through it
  std::atomic<std::int64_t> started_{0};
  std::atomic<std::int64_t> finished_{0};
  std::atomic<std::int64_t> to_send_{0};
  std::atomic<std::int64_t> to_receive_{0};
  std::atomic<int> waiting_for_{-1};
};

}  // namespace ep::exchange
