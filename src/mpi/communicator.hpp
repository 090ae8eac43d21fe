#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <mpi.h>

#include "core/source_location.hpp"

namespace ep::mpi {

/// Throws core::Error (communication) naming the MPI error and the place unless `code` is MPI_SUCCESS.
void check_mpi(int code, core::SourceLocation where = core::SourceLocation::current());

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

/// Non-owning or owning view of an MPI communicator with the few collectives the project needs.
class Communicator {
 public:
  /// MPI_COMM_WORLD. @pre an Environment is alive
  static Communicator world();
  /// An own copy, so that traffic of different parts cannot match. @pre collective
  [[nodiscard]] Communicator duplicate() const;
  Communicator(Communicator&&) noexcept;
  Communicator& operator=(Communicator&&) noexcept;
  ~Communicator();

  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] int size() const { return size_; }
  [[nodiscard]] MPI_Comm get() const { return comm_; }

  void barrier() const;
  /// Every rank gets root's bytes; sizes may differ before the call. @pre collective
  void broadcast(std::string& bytes, int root) const;
  template <class T>
  void broadcast_value(T& value, int root) const;
  /// Everyone's string, by rank, on every rank. @pre collective
  [[nodiscard]] std::vector<std::string> gather_all(const std::string& mine) const;
  /// Everyone's numbers [ranks, mine.size()], on every rank; same size everywhere. @pre collective
  [[nodiscard]] std::vector<double> gather_all(std::span<const double> mine) const;
  [[nodiscard]] double max(double mine) const;

 private:
  Communicator(MPI_Comm comm, bool owned);
  MPI_Comm comm_ = MPI_COMM_NULL;
  bool owned_ = false;
  int rank_ = 0;
  int size_ = 1;
};

template <class T>
void Communicator::broadcast_value(T& value, int root) const {
  check_mpi(MPI_Bcast(&value, static_cast<int>(sizeof(T)), MPI_BYTE, root, comm_));
}

}  // namespace ep::mpi
