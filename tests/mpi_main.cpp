// The main of every MPI test program: all ranks run all tests; a failure on one rank fails the run everywhere, is
// printed with the rank's number, and hangs nobody.
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <string>
#include <thread>

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "mpi/communicator.hpp"

namespace {

using namespace std::chrono_literals;

constexpr auto kTestLimit = 120s;       // a test takes seconds; on a starved machine under a sanitizer, a minute
constexpr auto kPatienceOfFailed = 5s;  // how long a rank that failed waits for ranks that may be waiting for it

[[noreturn]] void give_up(int rank, const std::string& why) {
  fmt::print(stderr, "[rank {}] {}\n", rank, why);
  std::fflush(stderr);
  ep::mpi::abort(ep::core::ExitCode::internal);
}

/// Ends the job when a test takes too long.
class Watchdog {
 public:
  explicit Watchdog(int rank) : rank_(rank), thread_([this] { watch(); }) {}
  ~Watchdog() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }
  /// Starts the time anew, for `test`; an empty name stops it.
  void arm(const std::string& test) {
    {
      const std::lock_guard lock(mutex_);
      test_ = test;
      ++armed_;
    }
    changed_.notify_one();
  }

 private:
  void watch() {
    std::unique_lock lock(mutex_);
    while (!ending_) {
      const int seen = armed_;
      const auto moved = [&] { return ending_ || armed_ != seen; };
      if (test_.empty())
        changed_.wait(lock, moved);
      else if (!changed_.wait_for(lock, kTestLimit, moved))
        give_up(rank_, fmt::format("{}: no end after {} s", test_, kTestLimit.count()));
    }
  }

  int rank_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string test_;
  int armed_ = 0;
  bool ending_ = false;
  std::thread thread_;
};

/// Prints every rank's failures and rank 0's progress, and brings the ranks together after each test.
class Listener : public testing::EmptyTestEventListener {
 public:
  explicit Listener(const ep::mpi::Communicator& communicator)
      : communicator_(communicator.duplicate()), watchdog_(communicator.rank()) {}

  void OnTestStart(const testing::TestInfo& test) override {
    name_ = fmt::format("{}.{}", test.test_suite_name(), test.name());
    watchdog_.arm(name_);
  }

  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (result.skipped() && communicator_.rank() == 0) fmt::print("skipped: {}\n", result.message());
    if (!result.failed()) return;
    fmt::print(stderr, "[rank {}] {}:{}: {}: {}\n", communicator_.rank(),
               result.file_name() == nullptr ? "unknown file" : result.file_name(), result.line_number(), name_,
               result.message());
  }

  void OnTestEnd(const testing::TestInfo& test) override {
    const bool failed = test.result()->Failed();
    meet(failed);
    int failures = failed ? 1 : 0;
    ep::mpi::check_mpi(MPI_Allreduce(MPI_IN_PLACE, &failures, 1, MPI_INT, MPI_SUM, communicator_.get()));
    watchdog_.arm("");
    ++(failures == 0 ? passed_ : failed_);
    if (communicator_.rank() != 0) return;
    fmt::print("{:6} {} ({} ms)\n", failures == 0 ? "ok" : "FAILED", name_, test.result()->elapsed_time());
    std::fflush(stdout);
  }

  [[nodiscard]] bool all_passed() const {
    if (communicator_.rank() == 0)
      fmt::print("{} passed, {} failed on {} ranks\n", passed_, failed_, communicator_.size());
    return failed_ == 0 && passed_ > 0;
  }

 private:
  /// A rank that failed may have left the others in a collective call that it will never join.
  void meet(bool failed) {
    MPI_Request request = MPI_REQUEST_NULL;
    ep::mpi::check_mpi(MPI_Ibarrier(communicator_.get(), &request));
    const auto begin = std::chrono::steady_clock::now();
    for (int done = 0; done == 0;) {
      ep::mpi::check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE));
      if (failed && std::chrono::steady_clock::now() - begin > kPatienceOfFailed)
        give_up(communicator_.rank(), name_ + ": failed here and left other ranks waiting");
      if (done == 0) std::this_thread::sleep_for(100us);
    }
  }

  ep::mpi::Communicator communicator_;
  Watchdog watchdog_;
  std::string name_;
  int passed_ = 0;
  int failed_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const ep::mpi::Environment environment(argc, argv);
  Listener listener(ep::mpi::Communicator::world());
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  delete listeners.Release(listeners.default_result_printer());
  listeners.Append(&listener);
  // What failed anywhere counts everywhere; the return value knows this rank's failures only.
  const int own = RUN_ALL_TESTS();
  listeners.Release(&listener);
  return listener.all_passed() && own == 0 ? 0 : 1;
}
