// The mpi exchange beside MPI_Alltoallv: same traffic, same thread, taking turns in one run. MPI_Alltoallv has ordinary
// memory; the exchange has what its device gives it.
//   mpirun -n 4 build/bench/exchange_bench --bytes 64K 1M 16M
#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <climits>
#include <fmt/core.h>

#include "core/clock.hpp"
#include "core/matrix.hpp"
#include "core/median.hpp"
#include "core/parse.hpp"
#include "core/random.hpp"
#include "device/cpu_stream.hpp"
#include "exchange/exchange.hpp"
#include "mpi/topology.hpp"

namespace ep {
namespace {

struct Options {
  std::vector<std::string> bytes{"1K", "64K", "1M", "16M"};
  std::vector<std::string> patterns{"uniform", "skewed", "hot"};
  int repeats = 21;
  int warm_up = 3;
  exchange::MpiOptions mpi;
};

/// Bytes from row to column; `mean` to each peer on average.
core::Matrix<std::int64_t> make_traffic(const std::string& pattern, int ranks, std::int64_t mean) {
  core::Matrix<std::int64_t> bytes(ranks, ranks);
  core::Random random(7, 0);
  for (int from = 0; from < ranks; ++from) {
    for (int to = 0; to < ranks; ++to) {
      const double factor = pattern == "uniform" ? 1
                            : pattern == "hot"   ? (to == 0 ? 2.5 : 0.5)  // everyone's first choice
                                                 : 0.1 + 3 * random.uniform() * random.uniform();  // mean 0.85, max 3.1
      bytes(from, to) = from == to ? 0 : static_cast<std::int64_t>(factor * static_cast<double>(mean));
    }
  }
  return bytes;
}

struct Side {
  explicit Side(std::span<const std::int64_t> bytes_of_rank)
      : rows(bytes_of_rank.begin(), bytes_of_rank.end()), offsets(rows.size()) {
    std::exclusive_scan(rows.begin(), rows.end(), offsets.begin(), std::int64_t{0});
    if (total() > INT_MAX) {
      throw core::InputError("exchange_bench", "--bytes", std::to_string(total()), "beyond an int");
    }
    counts.assign(rows.begin(), rows.end());
    displacements.assign(offsets.begin(), offsets.end());
  }
  std::vector<std::int64_t> rows;
  std::vector<std::int64_t> offsets;
  std::vector<int> counts;  // the same for MPI_Alltoallv
  std::vector<int> displacements;
  [[nodiscard]] std::int64_t total() const { return offsets.back() + rows.back(); }
};

struct Contender {
  device::MemoryUse memory;  // of what it sends
  std::function<void(const exchange::AllToAll&, const Side&, const Side&)> enqueue;
  std::vector<double> times_us;
};

class Bench {
 public:
  Bench(const mpi::Communicator& world, const Options& options)
      : world_(world), options_(options), alltoallv_(world.duplicate()), nodes_(mpi::node_of_rank(world)) {
    exchange::MpiOptions windowed = options.mpi;
    windowed.algorithm = "windowed";
    exchange::MpiOptions collective = options.mpi;
    collective.algorithm = "ialltoallv";
    exchanges_.push_back(exchange::make_mpi_exchange(world, windowed));
    exchanges_.push_back(exchange::make_mpi_exchange(world, collective));
    device_ = device::make_cpu_device({.threads = 1});
    contenders_.push_back({device::MemoryUse::device,
                           [this](const exchange::AllToAll& args, const Side& send, const Side& recv) {
                             stream().enqueue([&, this] {
                               mpi::check_mpi(MPI_Alltoallv(args.send, send.counts.data(), send.displacements.data(),
                                                            MPI_BYTE, args.recv, recv.counts.data(),
                                                            recv.displacements.data(), MPI_BYTE, alltoallv_.get()));
                             });
                           },
                           {}});
    for (const auto& exchange : exchanges_)
      contenders_.push_back({exchange->reads_senders_memory() ? device::MemoryUse::send : device::MemoryUse::device,
                             [this, &exchange](const exchange::AllToAll& args, const Side&, const Side&) {
                               exchange->all_to_all(stream(), args);
                             },
                             {}});
  }

  void print_header() const {
    if (world_.rank() != 0) return;
    const int nodes = 1 + *std::max_element(nodes_.begin(), nodes_.end());
    fmt::print("# {} ranks on {} nodes, {}; medians over {} of the slowest rank's time; GB/s of the busiest rank\n",
               world_.size(), nodes, mpi::library_version(), options_.repeats);
    fmt::print("{:>10} {:>12} {:>14} {:>10} {:>10} {:>9} {:>9} {:>9} {:>8} {:>8}\n", "pattern", "bytes/peer",
               "MPI_Alltoallv", "windowed", "ialltoallv", "ratio", "ratio", "windowed", "p5..p95", "of ratio");
    fmt::print("{:>10} {:>12} {:>14} {:>10} {:>10} {:>9} {:>9} {:>9}\n", "", "(mean)", "us", "us", "us", "windowed",
               "ialltoal.", "GB/s");
  }

  void measure(const std::string& pattern, std::int64_t mean) {
    const core::Matrix<std::int64_t> bytes = make_traffic(pattern, world_.size(), mean);
    const core::Matrix<std::int64_t> transposed = core::transpose(bytes);
    const Side send(bytes.row(world_.rank()));
    const Side recv(transposed.row(world_.rank()));
    const device::Buffer to = device_->allocate(recv.total(), device::MemoryUse::receive);
    std::map<device::MemoryUse, device::Buffer> sent;
    for (const device::MemoryUse use : {device::MemoryUse::device, device::MemoryUse::send})
      sent[use] = device_->allocate(send.total(), use);
    for (Contender& contender : contenders_) contender.times_us.clear();
    for (int i = -options_.warm_up; i < options_.repeats; ++i) {
      for (Contender& contender : contenders_) {
        const device::Buffer& from = sent[contender.memory];
        // As pack does. Without it the contender that comes after another with the same buffers finds them in the
        // caches.
        device_->fill(stream(), from.data(), i, from.size_bytes());
        const exchange::AllToAll args{from.data(), to.data(), send.rows, send.offsets, recv.rows, recv.offsets, 1};
        const double time = slowest_us([&] { contender.enqueue(args, send, recv); });
        if (i >= 0) contender.times_us.push_back(time);
      }
    }
    print(pattern, mean, static_cast<double>(std::max(send.total(), recv.total())));
  }

 private:
  device::CpuStream& stream() { return dynamic_cast<device::CpuStream&>(device_->comm_stream()); }

  /// Everything is enqueued before the stream starts on it, as a schedule's executor runs ahead, and the ranks meet on
  /// the streams' threads: neither the host's enqueueing nor its waking the thread is in the time.
  double slowest_us(const std::function<void()>& enqueue) {
    const auto begin = device_->create_event();
    const auto end = device_->create_event();
    std::atomic<int> all_enqueued{0};
    stream().enqueue([&] {
      all_enqueued.wait(0);
      world_.barrier();
    });
    device_->record(*begin, stream());
    enqueue();
    device_->record(*end, stream());
    all_enqueued.store(1);
    all_enqueued.notify_one();
    device_->synchronize();
    return world_.max(device_->time_us(*end) - device_->time_us(*begin));
  }

  void print(const std::string& pattern, std::int64_t mean, double own_bytes) const {
    const double busiest = world_.max(own_bytes);
    if (world_.rank() != 0) return;
    const double base = core::median(contenders_[0].times_us);
    const double windowed = core::median(contenders_[1].times_us);
    const double collective = core::median(contenders_[2].times_us);
    std::vector<double> ratios;  // turn by turn: what disturbs the machine mostly disturbs both
    for (std::size_t i = 0; i < contenders_[0].times_us.size(); ++i)
      ratios.push_back(contenders_[0].times_us[i] / contenders_[1].times_us[i]);
    std::sort(ratios.begin(), ratios.end());
    fmt::print("{:>10} {:>12} {:>14.1f} {:>10.1f} {:>10.1f} {:>9.2f} {:>9.2f} {:>9.3f} {:>8.2f} {:>8.2f}\n", pattern,
               mean, base, windowed, collective, base / windowed, base / collective, busiest / windowed / 1e3,
               ratios[ratios.size() / 20], ratios[ratios.size() - 1 - ratios.size() / 20]);
    std::fflush(stdout);
  }

  const mpi::Communicator& world_;
  const Options& options_;
  mpi::Communicator alltoallv_;
  std::vector<int> nodes_;
  std::vector<std::unique_ptr<exchange::Exchange>> exchanges_;
  std::unique_ptr<device::Device> device_;
  std::vector<Contender> contenders_;
};

void run(const Options& options) {
  const mpi::Communicator world = mpi::Communicator::world();
  Bench bench(world, options);
  bench.print_header();
  for (const std::string& pattern : options.patterns)
    for (const std::string& size : options.bytes) bench.measure(pattern, core::parse_size(size, "--bytes"));
}

int run_main(int argc, char** argv) {
  Options options;
  CLI::App app("the mpi exchange beside MPI_Alltoallv");
  app.option_defaults()->always_capture_default();
  app.add_option("--bytes", options.bytes, "mean bytes to each peer (K, M: powers of 1024)");
  app.add_option("--patterns", options.patterns)->check(CLI::IsMember({"uniform", "skewed", "hot"}));
  app.add_option("-n,--repeats", options.repeats)->check(CLI::PositiveNumber);
  app.add_option("-w,--warm-up", options.warm_up)->check(CLI::NonNegativeNumber);
  app.add_flag("!--messages", options.mpi.direct_in_node, "within a node by MPI messages, not from memory to memory");
  app.add_option("--in-node-fragment", options.mpi.in_node.fragment_bytes, "of --messages; 0: whole");
  app.add_option("--in-node-peers", options.mpi.in_node.in_flight, "peers at once; 0: all");
  app.add_option("--fragment", options.mpi.between_nodes.fragment_bytes, "between nodes; 0: whole messages");
  app.add_option("--peers", options.mpi.between_nodes.in_flight, "between nodes, peers at once; 0: all");
  app.add_option("--ahead", options.mpi.between_nodes.ahead, "between nodes, fragments ahead of the partner");
  CLI11_PARSE(app, argc, argv);
  const mpi::Environment environment(argc, argv);
  try {
    run(options);
  } catch (const core::Error& error) {
    fmt::print(stderr, "exchange_bench: {}\n", error.what());
    mpi::abort(error.code());
  }
  return 0;
}

}  // namespace
}  // namespace ep

int main(int argc, char** argv) {
  return ep::run_main(argc, argv);
}
