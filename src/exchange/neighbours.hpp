#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "device/shared_memory.hpp"
#include "exchange/exchange.hpp"
#include "exchange/progress_record.hpp"
#include "mpi/communicator.hpp"

namespace ep::exchange {

/// Rows between the ranks of a node without messages: a rank tells each neighbour where its rows lie, and the neighbour
/// copies them from there. Every byte is read and written once, by the core that will use it, and a pair of ranks
/// exchanges two cache lines for each direction. Calls come from one thread.
class Neighbours {
 public:
  /// Ranks of `communicator` with the same number in node_of_rank [ranks] are neighbours. @pre collective
  Neighbours(const mpi::Communicator& communicator, std::span<const int> node_of_rank);
  ~Neighbours();
  Neighbours(const Neighbours&) = delete;
  Neighbours& operator=(const Neighbours&) = delete;

  /// Why some rank cannot read its neighbours' memory, the same on all ranks; empty when all can.
  [[nodiscard]] const std::string& refusal() const { return refusal_; }

  /// Begins to move the rows of `args` from and to neighbours. Throws Error (internal) when those to be sent are not in
  /// MemoryUse::send memory that is shared. @pre refusal() is empty, open() is false
  void start(const AllToAll& args);
  /// Whether rows are still to be copied, or have not been copied by their receiver.
  [[nodiscard]] bool open() const { return open_ > 0; }
  /// Does what can be done at once, copying for some 20 us at most; whether that was anything. Throws Error
  /// (communication) when a neighbour's rows are not as many as expected, (unsupported) when they cannot be mapped.
  bool advance(ProgressRecord& progress);

 private:
  struct Neighbour;
  struct Line;
  std::string connect(const mpi::Communicator& communicator, std::span<const int> node_of_rank);
  std::int64_t receive(Neighbour& neighbour, std::int64_t most_bytes, ProgressRecord& progress);
  const std::byte* rows_at(Neighbour& neighbour, const device::SharedPlace& place);

  int rank_ = 0;
  std::int64_t streamed_bytes_ = 0;
  int open_ = 0;          // directions of pairs
  std::size_t next_ = 0;  // neighbour that is copied from next
  bool streams_ = false;
  std::string refusal_;
  device::Buffer lines_;  // [ranks of the node], each written by one neighbour and read here
  std::vector<Neighbour> neighbours_;
};

}  // namespace ep::exchange
