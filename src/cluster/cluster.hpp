#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cost/fits.hpp"
#include "cost/machine.hpp"
#include "placement/placement.hpp"
#include "schedule/schedule.hpp"

namespace ep::cluster {

/// A figure of the cluster file and where it comes from: "calibrated on HOST", or the source it is cited from.
template <class T>
struct Cited {
  T value{};
  std::string origin;
};

/// A cluster file (docs/cluster-file.md): the constants of the cost model for machines of one kind.
struct Cluster {
  std::string name;
  int nodes = 1;           // those it was calibrated on, or of a typical system; predictions may ask for any number
  int ranks_per_node = 1;  // at most
  bool links_at_once = false;
  Cited<cost::Line> own_memory;                    // kernels that `kernels` does not name
  std::optional<Cited<cost::Line>> in_node;        // none: a rank a node
  std::optional<Cited<cost::Line>> between_nodes;  // none: one node
  std::optional<Cited<cost::Line>> node_memory;
  std::optional<Cited<cost::Line>> node_nic;
  std::optional<Cited<cost::Line>> fabric;
  Cited<double> counts_us;
  std::map<schedule::OpKind, Cited<cost::Line>> kernels;
  std::vector<Cited<cost::GemmCurve>> gemm;  // at least one
  Cited<cost::Interference> overlap;
  std::map<int, Cited<cost::LinkScale>> link_scale;  // of nodes whose links differ from their peers'
  std::map<int, Cited<cost::RankOverride>> ranks;
  cost::Fits fits;  // of figures above; predictions do not read it
};

/// Reads the text of a cluster file. Throws InputError naming `source`, the field and its value for anything missing,
/// unknown, mistyped or out of range.
Cluster parse(const std::string& text, std::string_view source);

/// Reads a cluster file; "-" is standard input. Throws InputError likewise.
Cluster load(const std::string& path);

/// The text of a cluster file; `parse` reads it back.
std::string to_json(const Cluster& cluster);

/// The constants for a job of this topology. Throws InputError when the job needs a link that the file does not have.
cost::Machine to_machine(const Cluster& cluster, const placement::Topology& topology);

/// What was calibrated, as a cluster; every figure has the machine's origin.
Cluster from_machine(const cost::Machine& machine, std::string name);

}  // namespace ep::cluster
