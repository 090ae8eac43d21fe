#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "device/device.hpp"
#include "mpi/communicator.hpp"

namespace ep::exchange {

/// One rank's side of an all-to-all of rows. Entry r of each table concerns rank r; the own entry is not moved.
/// Tables in host memory, copied by the callee; buffers are MemoryUse::exchange memory and must stay until done.
struct AllToAll {
  const std::byte* send = nullptr;             // rows for rank r start at row send_offsets[r]
  std::byte* recv = nullptr;                   // rows from rank r start at row recv_offsets[r]
  std::span<const std::int64_t> send_rows;     // [ranks]
  std::span<const std::int64_t> send_offsets;  // [ranks]
  std::span<const std::int64_t> recv_rows;     // [ranks]
  std::span<const std::int64_t> recv_offsets;  // [ranks]
  std::int64_t row_bytes = 0;
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
};

/// How the windowed algorithm cuts and paces messages on one tier of the network.
struct Window {
  std::int64_t fragment_bytes = 0;  // 0: whole messages
  int in_flight = 0;                // pairwise rounds at once; 0: all peers at once
};

struct MpiOptions {
  std::string algorithm = "windowed";  // or "ialltoallv"
  Window in_node{};                    // within a node all at once
  Window between_nodes{64 * 1024,
                       1};  // pairwise rounds: over rate-limited TCP everything at once takes twice the line time
};

/// Exchange over MPI for the cpu device, driven by the communication stream's own thread.
/// Throws Error (unsupported) unless MPI_THREAD_MULTIPLE was granted; InputError for an unknown algorithm.
std::unique_ptr<Exchange> make_mpi_exchange(const mpi::Communicator& communicator, const MpiOptions& options);

}  // namespace ep::exchange
