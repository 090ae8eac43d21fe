#pragma once
#include <memory>
#include <span>

#include "exchange/exchange.hpp"
#include "exchange/progress_record.hpp"

namespace ep::exchange {

/// One way of moving rows over MPI. Runs on the communication stream's thread and blocks it until all has arrived.
class Transport {
 public:
  virtual ~Transport() = default;
  [[nodiscard]] virtual std::string_view algorithm() const = 0;
  [[nodiscard]] virtual bool reads_senders_memory() const { return false; }  // as Exchange has it
  [[nodiscard]] virtual std::string_view within_node() const { return ""; }  // the same
  /// Throws Error (communication), also when a peer's message is not as long as expected. @pre collective
  virtual void run(const AllToAll& args, ProgressRecord& progress) = 0;
};

/// Both keep `communicator`, which nothing else may use. `options` have been checked.
std::unique_ptr<Transport> make_windowed(mpi::Communicator communicator, const MpiOptions& options);
std::unique_ptr<Transport> make_ialltoallv(mpi::Communicator communicator, const MpiOptions& options);

/// The one `options` name, on a duplicate of `communicator`. Throws Error (unsupported) unless MPI_THREAD_MULTIPLE was
/// granted; InputError for an unknown algorithm or an impossible window. @pre collective
std::unique_ptr<Transport> make_transport(const mpi::Communicator& communicator, const MpiOptions& options);

/// Exchange::exchange_counts over MPI. Throws Error (communication). @pre collective
void exchange_counts_over(const mpi::Communicator& communicator, std::span<const std::int32_t> send,
                          std::span<std::int32_t> recv);

}  // namespace ep::exchange
