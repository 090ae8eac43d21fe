#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <source_location>
#include <string>

#include <boost/context/fiber.hpp>

#include "cuda_emulator/device/launch.hpp"
#include "cuda_emulator/device/synchronization.hpp"
#include "cuda_emulator/runtime/config.hpp"
#include "cuda_emulator/runtime/random.hpp"

namespace ep::emulator {

/// Runs one block of CUDA threads at a time on the engine's thread. A thread is a fiber, which runs until it waits for
/// others; who runs next is random. A fiber lives for ever and runs a thread of one block after another.
class BlockRunner {
 public:
  static BlockRunner& get();
  BlockRunner(const BlockRunner&) = delete;
  BlockRunner& operator=(const BlockRunner&) = delete;

  /// Runs all blocks of a grid, in an order drawn from `random`.
  void run_grid(const std::string& kernel, dim3 grid, dim3 block, std::size_t shared_bytes, const KernelCall& call,
                Random random);

  // --- Called on fibers.
  int barrier(BarrierKind kind, int predicate, std::source_location where);
  std::uint64_t collective(WarpOp op, unsigned mask, std::uint64_t value, int parameter, int width,
                           std::source_location where);
  void yield();

  // --- For the checker and for messages.
  bool in_kernel() const { return current_ >= 0; }
  /// True while kernel code runs, not the emulator on its behalf (whose own accesses are not to be checked).
  bool in_user_code() const { return current_ >= 0 && !in_runtime_; }
  int thread() const { return current_; }
  std::uint32_t block() const;
  std::uint32_t barrier_epoch() const { return barrier_epoch_; }
  std::uint32_t warp_epoch() const { return lanes_[static_cast<std::size_t>(current_)].warp_epoch; }
  bool in_stacks(const void* address) const;
  bool in_own_stack(const void* address) const;
  char* dynamic_shared() const { return shared_; }
  std::size_t dynamic_shared_bytes() const { return shared_bytes_; }
  bool near_dynamic_shared(const void* address) const;
  bool is_argument(const void* address) const;
  /// "kernel NAME block B thread T".
  std::string who() const;

 private:
  static constexpr int kMaxThreads = 1024;
  static constexpr int kWarpThreads = 32;
  enum class State : std::uint8_t { ready, at_barrier, in_collective, exited };
  struct Lane {
    boost::context::fiber fiber;
    uint3 index{};
    State state = State::exited;
    WarpOp op = WarpOp::sync;
    unsigned mask = 0;
    std::uint64_t in = 0;
    std::uint64_t out = 0;
    int parameter = 0;
    int width = 32;
    std::source_location where;
    std::uint32_t warp_epoch = 0;
  };
  struct Barrier {
    int arrived = 0;
    BarrierKind kind = BarrierKind::plain;
    int value = 0;
    int result = 0;
    std::source_location where;
  };
  struct Warp {
    unsigned live = 0;
    unsigned waiting = 0;
    std::uint32_t syncs = 0;
  };

  BlockRunner();
  void run_block(dim3 block);
  void start_threads(dim3 block);
  void poison_shared();
  boost::context::fiber make_fiber(int thread);
  void thread_main();
  void suspend();
  void make_ready(int thread);
  int next_ready(int from) const;
  int last_ready() const;
  int pick();
  void release_barrier();
  void release_warp(int warp);
  bool try_collective(int warp, unsigned mask);
  void complete_collective(int warp, unsigned lanes);
  std::uint64_t combine(const Lane* lanes, unsigned mask, WarpOp op) const;
  std::uint64_t shuffled(const Lane* lanes, unsigned mask, int lane);
  [[noreturn]] void fail_deadlock() const;

  std::array<Lane, kMaxThreads> lanes_;
  std::array<Warp, kMaxThreads / kWarpThreads> warps_{};
  std::array<std::uint64_t, kMaxThreads / 64> ready_{};  // bit per thread
  boost::context::fiber scheduler_;
  Barrier barrier_;
  const KernelCall* call_ = nullptr;
  std::string kernel_;
  Random random_{0};
  ThreadOrder order_ = ThreadOrder::random;
  bool in_runtime_ = false;
  int threads_ = 0;
  int live_ = 0;
  int ready_count_ = 0;
  int current_ = -1;
  int favoured_warp_ = 0;
  std::uint32_t barrier_epoch_ = 0;
  char* stacks_ = nullptr;
  char* shared_end_ = nullptr;  // in front of a guard page
  char* shared_ = nullptr;
  std::size_t shared_bytes_ = 0;
};

}  // namespace ep::emulator
