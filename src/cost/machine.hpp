#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "placement/placement.hpp"
#include "schedule/schedule.hpp"

namespace ep::cost {

/// What something of a size, in bytes or rows, took.
struct Point {
  double size = 0;
  double us = 0;
};

/// time_us = latency_us + bytes / (gbs * 1000). GB/s is 1e9 bytes a second; one direction.
struct Line {
  double latency_us = 0;  // of every message, or of every launch
  double gbs = 0;
  double start_us = 0;  // of links: paid once an exchange, however many messages it has
  /// Where one rate does not do for all sizes, as when more bytes no longer fit a cache: straight pieces from
  /// latency_us at none through these points and on, in place of gbs. Sizes strictly ascend, times never descend.
  std::vector<Point> points{};

  [[nodiscard]] double time_us(double bytes) const { return latency_us + transfer_us(bytes); }
  [[nodiscard]] double transfer_us(double bytes) const;
  /// Of `messages` that together have `bytes`, as if all were of one size.
  [[nodiscard]] double transfer_us(double bytes, double messages) const {
    return messages * transfer_us(bytes / messages);
  }
  /// Of all that passes something ranks share; 0 where there is no such limit.
  [[nodiscard]] double shared_us(double bytes) const { return gbs > 0 && bytes > 0 ? start_us + time_us(bytes) : 0; }
};

/// Time of one GEMM [rows, k] x [k, n] against rows, or of a gradient of weights [n, rows] x [rows, k], measured at a
/// few row counts.
struct GemmCurve {
  std::int64_t n = 0;
  std::int64_t k = 0;
  std::vector<Point> points;  // sizes are rows; strictly ascending, never descending in us
  bool weight_grad = false;

  /// Linear between points and beyond the last; below the first the time of the first, scaled half-way to zero rows'
  /// cost, since the weights are read whole for a single row too.
  [[nodiscard]] double time_us(double rows) const;
};

/// How much slower each side runs while compute and communication run on one rank at once; 1: no interference.
struct Interference {
  double compute = 1;
  double comm = 1;
};

/// What a node's network link moves, over what its peers' links do: 0.8 is 20 % slower.
struct LinkScale {
  double egress = 1;
  double ingress = 1;
};

/// What one rank has otherwise than its peers.
struct RankOverride {
  std::optional<Line> in_node;        // its end of the links within its node
  std::optional<Line> between_nodes;  // its end of the links to other nodes
  double compute = 1;                 // its kernels and GEMMs take this many times as long
};

/// All constants of the cost model for one job, with where they come from.
struct Machine {
  std::string origin;  // "calibrated on <host>" or a citation
  placement::Topology topology;
  Line in_node;                       // one link between two ranks of a node
  Line between_nodes;                 // one link between two ranks of different nodes
  Line node_memory;                   // what all ranks of a node together copy through its memory; gbs 0: no such limit
  Line node_nic;                      // what a node's NICs move, each way; gbs 0: the links alone limit
  Line fabric;                        // the same while all nodes exchange alike; gbs 0: no less
  std::vector<LinkScale> link_scale;  // [nodes], of between_nodes and what follows it; empty: all links are alike
  Line own_memory;                    // of kernels that `memory` does not name; gbs 0: every kernel must be named
  bool links_at_once = false;  // a rank drives its link to other nodes beside the one within its node (NVLink and NIC)
  double counts_us = 0;        // the count exchange, latency-bound
  /// Bandwidth of each kernel; for an exchange, in place of node_memory: its rows are where the kernel before left
  /// them.
  std::map<schedule::OpKind, Line> memory;
  std::vector<GemmCurve> gemm;
  Interference interference;
  std::map<int, RankOverride> ranks;  // those that differ

  [[nodiscard]] const Line& node_memory_of(std::optional<schedule::OpKind> exchange) const {
    const auto found = exchange ? memory.find(*exchange) : memory.end();
    return found == memory.end() ? node_memory : found->second;
  }
  [[nodiscard]] LinkScale scale_of(int node) const {
    return link_scale.empty() ? LinkScale{} : link_scale[static_cast<std::size_t>(node)];
  }
  /// What a node's NICs take one way for `bytes`, where nodes on average have `even_bytes` that way, both as a typical
  /// link would have them. What all nodes have alike goes at the pace of the fabric, since every link then waits for
  /// others at times; what one link has beyond that fills its idle times first.
  [[nodiscard]] double nic_us(double bytes, double even_bytes) const;
  /// `rank`'s end of its links within the node or to other nodes.
  [[nodiscard]] const Line& link(int rank, bool same_node) const {
    if (const auto found = ranks.find(rank); found != ranks.end()) {
      const auto& own = same_node ? found->second.in_node : found->second.between_nodes;
      if (own) return *own;
    }
    return same_node ? in_node : between_nodes;
  }
};

}  // namespace ep::cost
