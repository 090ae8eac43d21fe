#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include <nccl.h>

#include "core/error.hpp"
#include "core/source_location.hpp"

namespace ep::nccl {

/// Throws core::Error (communication) naming the NCCL error and the place unless `code` is ncclSuccess.
void check_nccl(ncclResult_t code, core::SourceLocation where = core::SourceLocation::current());

struct Config {
  int ctas = 0;           // thread blocks, so SMs, that NCCL occupies: its least and its most; 0: as NCCL likes
  double timeout_s = 60;  // until what must happen on all ranks counts as hopeless
  /// Ends the graphs that hold operations of the communicator, whose abort would wait for them. Throws nothing.
  std::function<void()> end_graphs{};
};

/// Made on one rank and handed to all. Throws Error (communication).
ncclUniqueId make_unique_id();

/// "2.28.3"
std::string version();

/// A non-blocking communicator. After a call that may answer ncclInProgress nothing else is called on it, and nothing
/// is enqueued on its stream, until `settle` returns: that is the caller's duty for groups, and kept in here otherwise.
class Communicator {
 public:
  /// The GPU in use becomes this rank's. Throws Error (communication), Error (timeout). @pre collective
  Communicator(const ncclUniqueId& id, int ranks, int rank, const Config& config);
  /// Ends it together with the other ranks; aborts it, alone, when an exception is in flight.
  ~Communicator();
  Communicator(Communicator&& other) noexcept;
  Communicator& operator=(Communicator&&) = delete;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  [[nodiscard]] ncclComm_t get() const { return comm_; }
  /// The ranks that give the same colour, ordered by key: cheaper than a communicator from the start. Throws as the
  /// constructor. @pre collective, idle
  [[nodiscard]] Communicator split(int color, int key);

  /// Takes the result of a call: returns when NCCL is done with it. Throws Error (communication), with what NCCL says
  /// of its last error, or Error (timeout), naming `operation`, and aborts.
  void settle(ncclResult_t result, std::string_view operation);
  /// Throws as settle when NCCL has met an error since. @pre settled
  void poll(std::string_view operation);
  /// Tells NCCL of memory that will be sent from and received into, which may spare it a copy; null where NCCL refuses.
  /// Deregister it before it is freed. Throws Error (communication). @pre settled
  [[nodiscard]] void* register_memory(void* memory, std::size_t bytes);
  void deregister(void* registration) noexcept;
  /// Ends what is under way, wherever it is, and the graphs that hold it; nothing may be called on it afterwards.
  void abort() noexcept;

 private:
  Communicator(ncclComm_t comm, Config config);
  [[noreturn]] void fail(ncclResult_t error, std::string_view operation);

  ncclComm_t comm_ = nullptr;
  Config config_;
  int uncaught_;
};

/// Device memory that NCCL can send from without copying it first. Throws Error (communication) when there is too
/// little.
void* allocate(std::size_t bytes);
void release(void* memory) noexcept;

}  // namespace ep::nccl
