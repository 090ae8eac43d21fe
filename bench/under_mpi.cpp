#include "bench/under_mpi.hpp"

#include <cstdlib>
#include <new>
#include <string>
#include <unistd.h>

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "bench/job_command.hpp"
#include "core/step.hpp"
#include "mpi/agreement.hpp"
#include "mpi/topology.hpp"

namespace ep::bench {

namespace {

/// Progress goes to a terminal only: a log file wants the result. Under mpirun standard error is a pipe; who started it
/// may know better and say so.
void set_up_progress(int rank) {
  const bool wanted = isatty(STDERR_FILENO) == 1 || std::getenv("EPBENCH_PROGRESS") != nullptr;
  spdlog::set_default_logger(spdlog::stderr_color_mt("epbench"));
  spdlog::set_pattern("epbench: %v");
  spdlog::set_level(rank == 0 && wanted ? spdlog::level::info : spdlog::level::warn);
}

}  // namespace

void abort_job(const mpi::Communicator& communicator, const std::exception_ptr& error) {
  core::ExitCode code = core::ExitCode::internal;
  std::string what = "internal error";
  try {
    std::rethrow_exception(error);
  } catch (const core::Error& own) {
    code = own.code();
    what = own.what();
  } catch (const std::bad_alloc&) {
    code = core::ExitCode::unsupported;
    what = "out of memory";
  } catch (const std::exception& other) {
    what = other.what();
  }
  const core::Step step = core::current_step();
  fmt::print(stderr, "epbench: rank {} on {}: {} (in {}: {})\n", communicator.rank(), mpi::host_name(), what,
             step.where, step.what);
  mpi::abort(code);
}

core::ExitCode under_mpi(Invocation& invocation, const std::function<core::ExitCode(const mpi::Communicator&)>& body) {
  mpi::Environment environment(invocation.argc, invocation.argv);
  const mpi::Communicator communicator = mpi::Communicator::world();
  set_up_progress(communicator.rank());
  try {
    return body(communicator);
  } catch (const mpi::SharedError& error) {
    if (communicator.rank() == 0) fmt::print(stderr, "epbench: {}\n", error.what());
    return error.code();
  } catch (...) {
    abort_job(communicator, std::current_exception());
  }
}

core::ExitCode report_usage_error(Invocation& invocation, const core::Error& error) {
  if (!launched_by_mpi()) {
    fmt::print(stderr, "epbench: {}\n", error.what());
    return error.code();
  }
  // The other ranks' first step is the same agreement (make_job).
  return under_mpi(invocation, [&](const mpi::Communicator& communicator) {
    mpi::all_or_none(communicator, [&] { throw core::Error(error); });
    return error.code();
  });
}

}  // namespace ep::bench
