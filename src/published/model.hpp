#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "published/rows.hpp"
#include "published/traffic.hpp"

namespace ep::published {

/// Constants of one kind of hardware, whatever library drives it.
struct Hardware {
  double nic_gbs = 0;   // what a rank's NIC achieves
  double copy_gbs = 0;  // what kernels copy over NVLink, where nothing is known of the library
};

/// Constants of one library.
struct Library {
  double copy_gbs = 0;    // what its kernels copy over NVLink
  double latency_us = 0;  // what it takes without bytes
};

/// A constants file (docs/predict.md): constants by name, which rows they are for, and where they come from.
struct Constants {
  std::map<std::string, std::string> hardware_of;  // hw column -> hardware name
  std::map<std::string, Hardware> hardware;        // by name
  std::map<std::string, Library> libraries;        // by source column
  std::map<std::string, bool> by_nic;              // by source column: copies within a node take the NIC too
};

/// Reads a constants file. Throws InputError naming `source`, field and value.
Constants parse_constants(const std::string& text, std::string_view source);

/// What one exchange moves, bytes of one rank and one direction.
struct Load {
  double nic_bytes = 0;
  double nvlink_bytes = 0;  // with what stays on the rank, which its kernel copies likewise
};

/// One published time and the loads that should explain it: one exchange, or dispatch and combine together.
struct Figure {
  std::size_t row = 0;
  std::string_view what;  // "dispatch", "combine", "total"
  double measured_us = 0;
  std::vector<Load> loads;
};

/// The published numbers as times. Bytes are by the row's own definition: gbs_rdma counts a payload for each distinct
/// node, own included; gbs_nvl for each distinct rank, own included; gbs_selection for each copy.
std::vector<Figure> figures(const std::vector<Row>& rows, const Constants& constants);

/// T = latency + max(NIC bytes / NIC rate, NVLink bytes / copy rate), summed over the loads: cost::exchange_cost where
/// every rank sends alike, and its two links work at once.
double time_us(const Figure& figure, double nic_gbs, double copy_gbs, double latency_us);

}  // namespace ep::published
