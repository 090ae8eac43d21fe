#include "schedule/order.hpp"

#include <algorithm>

namespace ep::schedule {

namespace {

constexpr std::size_t kWordBits = 64;

const BufferId* first_shared(const std::vector<BufferId>& a, const std::vector<BufferId>& b) {
  const auto found = std::find_first_of(a.begin(), a.end(), b.begin(), b.end());
  return found == a.end() ? nullptr : &*found;
}

}  // namespace

void Order::add(Lane lane) {
  const int id = static_cast<int>(before_.size());
  before_.emplace_back(before_.size() / kWordBits + 1, 0);
  for (const Lane ahead : {lane, Lane::host}) {
    if (const auto& last = last_in_lane_[static_cast<std::size_t>(ahead)]) wait_for(*last);
  }
  last_in_lane_[static_cast<std::size_t>(lane)] = id;
}

void Order::wait_for(int earlier) {
  const auto id = static_cast<std::size_t>(earlier);
  const Row& inherited = before_[id];
  Row& row = before_.back();
  for (std::size_t word = 0; word < inherited.size(); ++word) row[word] |= inherited[word];
  row[id / kWordBits] |= std::uint64_t{1} << (id % kWordBits);
}

bool Order::ordered(int earlier, int later) const {
  const auto id = static_cast<std::size_t>(earlier);
  return (before_[static_cast<std::size_t>(later)][id / kWordBits] >> (id % kWordBits) & 1) != 0;
}

const BufferId* conflict(const Operation& a, const Operation& b) {
  if (const BufferId* buffer = first_shared(a.writes, b.writes)) return buffer;
  if (const BufferId* buffer = first_shared(a.writes, b.reads)) return buffer;
  return first_shared(a.reads, b.writes);
}

}  // namespace ep::schedule
