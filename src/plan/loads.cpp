#include "plan/loads.hpp"

namespace ep::plan {

ExchangeLoads loads_of(const core::Matrix<std::int64_t>& rows, const placement::Topology& topology) {
  ExchangeLoads loads(static_cast<std::size_t>(topology.ranks()));
  for (int source = 0; source < topology.ranks(); ++source) {
    for (int destination = 0; destination < topology.ranks(); ++destination) {
      const std::int64_t count = rows(source, destination);
      if (source == destination || count <= 0) continue;
      const bool within = topology.same_node(source, destination);
      RankLoad& from = loads[static_cast<std::size_t>(source)];
      RankLoad& to = loads[static_cast<std::size_t>(destination)];
      for (TierLoad* load : {within ? &from.out_within : &from.out_between, within ? &to.in_within : &to.in_between}) {
        load->messages += 1;
        load->rows += static_cast<double>(count);
      }
    }
  }
  return loads;
}

ExchangeLoads reversed(const ExchangeLoads& loads) {
  ExchangeLoads result;
  result.reserve(loads.size());
  for (const RankLoad& load : loads) {
    result.push_back({load.in_within, load.in_between, load.out_within, load.out_between});
  }
  return result;
}

}  // namespace ep::plan
