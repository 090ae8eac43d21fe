#pragma once
#include <exception>
#include <functional>

#include "bench/commands.hpp"
#include "mpi/communicator.hpp"

namespace ep::bench {

/// Runs `body` under MPI. An error that all ranks share is printed once and ends them in order; one rank's own aborts.
core::ExitCode under_mpi(Invocation& invocation, const std::function<core::ExitCode(const mpi::Communicator&)>& body);

/// Prints one rank's own error with its name and ends the job, since the others are waiting for it.
[[noreturn]] void abort_job(const mpi::Communicator& communicator, const std::exception_ptr& error);

}  // namespace ep::bench
