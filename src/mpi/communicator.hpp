#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <mpi.h>

#include "core/error.hpp"
#include "core/source_location.hpp"
#include "core/unique_handle.hpp"

namespace ep::mpi {

/// Throws core::Error (communication) naming the MPI error and the place unless `code` is MPI_SUCCESS.
void check_mpi(int code, core::SourceLocation where = core::SourceLocation::current());

/// Ends every rank of the job with `code`, from any thread; before MPI_Init and after MPI_Finalize, only this process.
[[noreturn]] void abort(core::ExitCode code) noexcept;

/// MPI_Init_thread to MPI_Finalize. Asks for MPI_THREAD_MULTIPLE and sets MPI_ERRORS_RETURN.
class Environment {
 public:
  Environment(int& argc, char**& argv);
  ~Environment();  // finalizes unless an exception is in flight: no collective call during unwinding
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  [[nodiscard]] bool thread_multiple() const { return thread_multiple_; }

 private:
  bool thread_multiple_ = false;
  int uncaught_ = 0;
};

/// How UniqueHandle frees a communicator: not during unwinding (it is collective) and not after MPI_Finalize.
struct CommPolicy {
  using Handle = MPI_Comm;
  static Handle null() { return MPI_COMM_NULL; }
  static void close(Handle comm) noexcept;
};

/// MPI_COMM_WORLD or an owned copy of a communicator, with the few collectives the project needs.
class Communicator {
 public:
  /// MPI_COMM_WORLD. @pre an Environment is alive
  static Communicator world();
  /// An own copy, so that traffic of different parts cannot match. @pre collective
  [[nodiscard]] Communicator duplicate() const;

  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] int size() const { return size_; }
  [[nodiscard]] MPI_Comm get() const { return comm_; }

  /// @pre collective
  void barrier() const;
  /// Every rank gets root's bytes; sizes may differ before the call. @pre collective
  void broadcast(std::string& bytes, int root) const;
  template <class T>
  void broadcast_value(T& value, int root) const;
  /// Everyone's string, by rank, on every rank; together below 2 GiB. @pre collective
  [[nodiscard]] std::vector<std::string> gather_all(const std::string& mine) const;
  /// Everyone's numbers [ranks, mine.size()], on every rank; same size everywhere. @pre collective
  [[nodiscard]] std::vector<double> gather_all(std::span<const double> mine) const;
  /// The largest of everyone's numbers. @pre collective
  [[nodiscard]] double max(double mine) const;

 private:
  explicit Communicator(MPI_Comm comm);
  core::UniqueHandle<CommPolicy> owned_;
  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0;
  int size_ = 1;
};

template <class T>
void Communicator::broadcast_value(T& value, int root) const {
  static_assert(std::is_trivially_copyable_v<T>);
  check_mpi(MPI_Bcast(&value, static_cast<int>(sizeof(T)), MPI_BYTE, root, comm_));
}

}  // namespace ep::mpi
