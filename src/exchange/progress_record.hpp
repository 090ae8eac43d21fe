#pragma once
#include <atomic>
#include <cstdint>
#include <string_view>
#include <vector>

#include "exchange/exchange.hpp"

namespace ep::exchange {

/// Progress as the communication stream's thread keeps it and any other reads it.
class ProgressRecord {
 public:
  explicit ProgressRecord(int ranks) : peers_(static_cast<std::size_t>(ranks)) {}

  void start(const AllToAll& args, int own) {
    name_.store(args.name, kRelaxed);
    for (std::size_t r = 0; r < peers_.size(); ++r) {
      const bool moves = static_cast<int>(r) != own;
      peers_[r].to_send.store(moves ? args.send_rows[r] * args.row_bytes : 0, kRelaxed);
      peers_[r].to_receive.store(moves ? args.recv_rows[r] * args.row_bytes : 0, kRelaxed);
    }
    add(started_, 1);
  }
  void sent(int rank, std::int64_t bytes) { add(at(rank).to_send, -bytes); }
  void received(int rank, std::int64_t bytes) { add(at(rank).to_receive, -bytes); }
  void finish() { add(finished_, 1); }

  [[nodiscard]] Progress snapshot() const {
    Progress progress{started_.load(kRelaxed), finished_.load(kRelaxed), name_.load(kRelaxed), {}};
    for (std::size_t r = 0; r < peers_.size(); ++r) {
      const std::int64_t to_send = peers_[r].to_send.load(kRelaxed);
      const std::int64_t to_receive = peers_[r].to_receive.load(kRelaxed);
      if (to_send + to_receive > 0) progress.open.push_back({static_cast<int>(r), to_send, to_receive});
    }
    return progress;
  }

 private:
  struct Peer {
    std::atomic<std::int64_t> to_send{0};
    std::atomic<std::int64_t> to_receive{0};
  };
  /// Only the stream's thread writes, so that no locked operation is needed.
  static void add(std::atomic<std::int64_t>& counter, std::int64_t value) {
    counter.store(counter.load(kRelaxed) + value, kRelaxed);
  }
  Peer& at(int rank) { return peers_[static_cast<std::size_t>(rank)]; }

  static constexpr auto kRelaxed = std::memory_order_relaxed;  // nothing else is published through it
  std::atomic<std::int64_t> started_{0};
  std::atomic<std::int64_t> finished_{0};
  std::atomic<const char*> name_{""};
  std::vector<Peer> peers_;  // [ranks]
};

}  // namespace ep::exchange
