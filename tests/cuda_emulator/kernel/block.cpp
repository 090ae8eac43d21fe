#include "cuda_emulator/kernel/block.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <sys/mman.h>
#include <vector>

#include <fmt/format.h>

#include "cuda_emulator/checker/checker.hpp"
#include "cuda_emulator/kernel/symbols.hpp"
#include "cuda_emulator/runtime/report.hpp"

uint3 threadIdx;
uint3 blockIdx;
dim3 blockDim;
dim3 gridDim;

namespace ep::emulator {
namespace {

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kStackBytes = 128 << 10;
constexpr std::size_t kStackStride = kStackBytes + kPageBytes;  // a guard page below each stack
constexpr std::size_t kMaxSharedBytes = 228 << 10;

char* reserve(std::size_t bytes) {
  void* pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) fail("memory", "cannot map the stacks of the CUDA threads");
  return static_cast<char*>(pages);
}

/// The stacks live as long as the process.
struct KeepStack {
  void deallocate(boost::context::stack_context&) {}
};

}  // namespace

BlockRunner& BlockRunner::get() {
  static BlockRunner& runner = *new BlockRunner;
  return runner;
}

BlockRunner::BlockRunner() {
  stacks_ = reserve(kMaxThreads * kStackStride);
  for (std::size_t i = 0; i < kMaxThreads; ++i) mprotect(stacks_ + i * kStackStride, kPageBytes, PROT_NONE);
  shared_end_ = reserve(kMaxSharedBytes + kPageBytes) + kMaxSharedBytes;
  mprotect(shared_end_, kPageBytes, PROT_NONE);
}

void BlockRunner::run_grid(const std::string& kernel, dim3 grid, dim3 block, std::size_t shared_bytes,
                           const KernelCall& call, Random random) {
  kernel_ = kernel;
  call_ = &call;
  random_ = random;
  gridDim = grid;
  blockDim = block;
  shared_bytes_ = shared_bytes;
  shared_ = shared_end_ - (shared_bytes + 15) / 16 * 16;
  std::vector<std::uint32_t> order(std::size_t{grid.x} * grid.y * grid.z);
  std::iota(order.begin(), order.end(), 0u);
  if (config().threads == ThreadOrder::reversed) std::reverse(order.begin(), order.end());
  if (config().threads != ThreadOrder::sequential && config().threads != ThreadOrder::reversed) {
    for (std::size_t i = order.size(); i > 1; --i) {
      std::swap(order[i - 1], order[random_.below(static_cast<std::uint32_t>(i))]);
    }
  }
  for (const std::uint32_t index : order) {
    blockIdx = {index % grid.x, index / grid.x % grid.y, index / (grid.x * grid.y)};
    run_block(block);
  }
}

void BlockRunner::run_block(dim3 block) {
  constexpr ThreadOrder kOrders[] = {ThreadOrder::sequential, ThreadOrder::reversed, ThreadOrder::random,
                                     ThreadOrder::warp};
  order_ = config().threads == ThreadOrder::mixed ? kOrders[random_.below(4)] : config().threads;
  poison_shared();
  Checker::get().begin_block();
  start_threads(block);
  while (live_ > 0) {
    if (ready_count_ == 0) fail_deadlock();
    current_ = pick();
    Lane& lane = lanes_[static_cast<std::size_t>(current_)];
    threadIdx = lane.index;
    lane.fiber = std::move(lane.fiber).resume();
  }
  current_ = -1;
}

void BlockRunner::poison_shared() {
  const int poison = random_.one_in(2) ? 0xff : 0x7f;
  if (shared_bytes_ > 0) std::memset(shared_, poison, shared_bytes_);
  for (const SharedVariable& variable : shared_variables()) std::memset(variable.data, poison, variable.bytes);
}

void BlockRunner::start_threads(dim3 block) {
  threads_ = live_ = static_cast<int>(block.x * block.y * block.z);
  barrier_ = {};
  barrier_epoch_ = 1;
  ready_ = {};
  ready_count_ = 0;
  warps_ = {};
  for (int thread = 0; thread < threads_; ++thread) {
    Lane& lane = lanes_[static_cast<std::size_t>(thread)];
    if (!lane.fiber) lane.fiber = make_fiber(thread);
    const auto linear = static_cast<unsigned>(thread);
    lane.index = {linear % block.x, linear / block.x % block.y, linear / (block.x * block.y)};
    lane.warp_epoch = 0;
    warps_[linear / kWarpThreads].live |= 1u << (linear % kWarpThreads);
    make_ready(thread);
  }
}

boost::context::fiber BlockRunner::make_fiber(int thread) {
  boost::context::stack_context stack;
  stack.size = kStackBytes;
  stack.sp = stacks_ + (static_cast<std::size_t>(thread) + 1) * kStackStride;
  return {std::allocator_arg, boost::context::preallocated(stack.sp, stack.size, stack), KeepStack{},
          [this](boost::context::fiber&& caller) {
            scheduler_ = std::move(caller);
            for (;;) thread_main();
            return std::move(scheduler_);
          }};
}

void BlockRunner::thread_main() {
  in_runtime_ = false;
  call_->invoke(call_->kernel, call_->arguments.get());
  in_runtime_ = true;
  const int warp = current_ / kWarpThreads;
  lanes_[static_cast<std::size_t>(current_)].state = State::exited;
  warps_[static_cast<std::size_t>(warp)].live &= ~(1u << (current_ % kWarpThreads));
  --live_;
  // Since sm_70 a barrier waits for the threads that have not exited.
  if (live_ > 0 && barrier_.arrived == live_) release_barrier();
  release_warp(warp);
  scheduler_ = std::move(scheduler_).resume();
}

void BlockRunner::suspend() {
  scheduler_ = std::move(scheduler_).resume();
  in_runtime_ = false;
}

void BlockRunner::yield() {
  if (!in_kernel() || ready_count_ == 0) return;
  in_runtime_ = true;
  make_ready(current_);
  suspend();
}

void BlockRunner::make_ready(int thread) {
  lanes_[static_cast<std::size_t>(thread)].state = State::ready;
  ready_[static_cast<std::size_t>(thread) / 64] |= std::uint64_t{1} << (thread % 64);
  ++ready_count_;
}

int BlockRunner::next_ready(int from) const {
  const int words = (threads_ + 63) / 64;
  int word = from / 64;
  std::uint64_t bits = ready_[static_cast<std::size_t>(word)] & (~std::uint64_t{0} << (from % 64));
  while (bits == 0) {
    word = (word + 1) % words;
    bits = ready_[static_cast<std::size_t>(word)];
  }
  return word * 64 + std::countr_zero(bits);
}

int BlockRunner::last_ready() const {
  int word = (threads_ - 1) / 64;
  while (ready_[static_cast<std::size_t>(word)] == 0) --word;
  return word * 64 + 63 - std::countl_zero(ready_[static_cast<std::size_t>(word)]);
}

int BlockRunner::pick() {
  int thread = 0;
  const auto warp_ready = [this](int warp) {
    if (warp * kWarpThreads >= threads_) return false;
    return static_cast<std::uint32_t>(ready_[static_cast<std::size_t>(warp) / 2] >> (warp % 2 * 32)) != 0;
  };
  if (order_ == ThreadOrder::sequential) {
    thread = next_ready(0);
  } else if (order_ == ThreadOrder::reversed) {
    thread = last_ready();
  } else if (order_ == ThreadOrder::warp && warp_ready(favoured_warp_)) {
    thread = next_ready(favoured_warp_ * kWarpThreads);
  } else {
    thread = next_ready(static_cast<int>(random_.below(static_cast<std::uint32_t>(threads_))));
    favoured_warp_ = thread / kWarpThreads;
  }
  ready_[static_cast<std::size_t>(thread) / 64] &= ~(std::uint64_t{1} << (thread % 64));
  --ready_count_;
  return thread;
}

std::uint32_t BlockRunner::block() const {
  return blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
}

bool BlockRunner::in_stacks(const void* address) const {
  return address >= stacks_ && address < stacks_ + kMaxThreads * kStackStride;
}

bool BlockRunner::in_own_stack(const void* address) const {
  const char* own = stacks_ + static_cast<std::size_t>(current_) * kStackStride;
  return address >= own && address < own + kStackStride;
}

bool BlockRunner::near_dynamic_shared(const void* address) const {
  constexpr std::size_t kFar = 64 << 10;
  return address >= shared_end_ - kMaxSharedBytes - kFar && address < shared_end_ + kPageBytes;
}

bool BlockRunner::is_argument(const void* address) const {
  const auto* arguments = static_cast<const char*>(call_->arguments.get());
  return address >= arguments && address < arguments + call_->argument_bytes;
}

std::string BlockRunner::who() const {
  return fmt::format("kernel {} block {} thread {}", kernel_, block(), current_);
}

}  // namespace ep::emulator
