#pragma once
#include <functional>
#include <span>
#include <string>
#include <utility>

#include "core/error.hpp"
#include "mpi/communicator.hpp"

namespace ep::mpi {

/// An error that every rank throws alike: rank 0 alone prints it, and all can leave through MPI_Finalize. Any other
/// error is one rank's own, whose peers are waiting for it.
class SharedError : public core::Error {
 public:
  using core::Error::Error;
};

// What keeps one rank's bad input from leaving the others waiting: each of these throws on every rank or on none, the
// same message and exit code everywhere, so that rank 0 can print it once and all can leave through MPI_Finalize.

/// A command-line argument as it stands on this rank: its name, its value.
using Argument = std::pair<std::string, std::string>;

/// Throws SharedError (usage) on every rank, naming the first rank and argument that differ from rank 0's, unless all
/// ranks have the same arguments. Costs one small collective when they agree. @pre collective
void agree(const Communicator& communicator, std::span<const Argument> arguments);

/// Runs `make` on rank 0 alone and returns its bytes on every rank; what it throws, every rank throws as a
/// SharedError. @pre collective
std::string collectively(const Communicator& communicator, const std::function<std::string()>& make);

/// Runs `work` on every rank; if it throws on any, every rank throws a SharedError of what the lowest failing one did,
/// with that rank's number when others succeeded or failed differently. `work` makes no collective call. @pre
/// collective
void all_or_none(const Communicator& communicator, const std::function<void()>& work);

}  // namespace ep::mpi
