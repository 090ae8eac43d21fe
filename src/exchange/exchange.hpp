#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "device/device.hpp"
#include "mpi/communicator.hpp"

namespace ep::exchange {

/// One rank's side of an all-to-all of rows. Entry r of each table concerns rank r; the own entry is not moved.
/// Tables in host memory, copied by the callee; buffers are MemoryUse::send and ::receive memory and stay until done.
struct AllToAll {
  const std::byte* send = nullptr;             // rows for rank r start at row send_offsets[r]
  std::byte* recv = nullptr;                   // rows from rank r start at row recv_offsets[r]
  std::span<const std::int64_t> send_rows;     // [ranks]
  std::span<const std::int64_t> send_offsets;  // [ranks]
  std::span<const std::int64_t> recv_rows;     // [ranks]
  std::span<const std::int64_t> recv_offsets;  // [ranks]
  std::int64_t row_bytes = 0;
  const char* name = "";  // what it is, for reports: a string that lives for ever
};

/// How far an exchange has come, for a watchdog that asks from another thread while it hangs.
struct Progress {
  struct Peer {
    int rank = 0;
    std::int64_t bytes_to_send = 0;
    std::int64_t bytes_to_receive = 0;
  };
  std::int64_t started = 0;   // exchanges begun; the one under way is number `started`
  std::int64_t finished = 0;  // exchanges ended
  const char* name = "";      // AllToAll::name of the latest
  std::vector<Peer> open{};   // peers that it is not done with
};

/// Moves rows between ranks on the device's communication stream.
class Exchange {
 public:
  virtual ~Exchange() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;       // "mpi", "nccl"
  [[nodiscard]] virtual std::string_view algorithm() const = 0;  // "windowed", "ialltoallv"

  /// Sends `per_peer` counts to every rank and receives as many from each: tables [ranks, per_peer] in host memory.
  /// Blocks the host. Throws Error (communication). @pre collective
  virtual void exchange_counts(std::span<const std::int32_t> send, std::span<std::int32_t> recv) = 0;

  /// Enqueues the exchange on `comm`; returns at once. Peers with no rows cost nothing. Counts beyond INT_MAX bytes
  /// are split. A failure is thrown by Device::synchronize. @pre collective, same order on every rank
  virtual void all_to_all(device::Stream& comm, const AllToAll& args) = 0;

  /// Whether the buffers that were registered with it will be used as they are: "granted", "refused" (at least once);
  /// empty when none was.
  [[nodiscard]] virtual std::string_view registration() const { return ""; }

  /// Whether ranks of a node read rows from the sender's memory themselves, which must then be shared
  /// (device::CpuOptions). The same on all ranks.
  [[nodiscard]] virtual bool reads_senders_memory() const { return false; }

  /// How rows get from rank to rank within a node, in words; empty where this rank's node has no other or nobody asks.
  [[nodiscard]] virtual std::string_view within_node() const { return ""; }

  /// A snapshot of the exchange under way, from any thread; its fields may be an instant apart.
  [[nodiscard]] virtual Progress progress() const { return {}; }
};

/// How the windowed algorithm cuts and paces messages on one tier of the network.
struct Window {
  std::int64_t fragment_bytes = 0;  // of long messages; short ones go in shorter fragments. 0: whole messages
  int in_flight = 0;                // peers being sent to at once, in pairwise rounds; 0: all peers, unpaced
  int ahead = 2;                    // fragments a rank may be ahead of what its partner of the round has sent it
};

struct MpiOptions {
  std::string algorithm = "windowed";  // or "ialltoallv"
  /// Within a node, windowed: ranks copy rows straight from each other's memory, where all ranks can; else messages.
  bool direct_in_node = true;
  Window in_node{};  // of those messages: all at once
  /// Pairwise rounds: over rate-limited TCP everything at once takes up to twice the line time. 63 KiB, because with
  /// its header 64 KiB no longer fits Open MPI's eager packet (btl_tcp_eager_limit) and costs a round trip each.
  Window between_nodes{63 * 1024, 1, 2};
  /// What is longer is cut: MPI counts are int, and some transports stop at 2 GiB.
  std::int64_t max_message_bytes = std::int64_t{1} << 30;
  std::vector<int> node_of_rank{};  // [ranks], the same on every rank; empty: by host name
};

/// Exchange over MPI for the cpu device, driven by the communication stream's own thread. Must outlive what was
/// enqueued through it. Throws Error (unsupported) unless MPI_THREAD_MULTIPLE was granted; InputError for an unknown
/// algorithm or an impossible window. @pre collective
std::unique_ptr<Exchange> make_mpi_exchange(const mpi::Communicator& communicator, const MpiOptions& options);

}  // namespace ep::exchange
