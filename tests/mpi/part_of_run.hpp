#pragma once
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace ep {

/// With EP_TEST_PART=i/n, every n-th of `all` from number i on, otherwise all: where a program is run again with each of
/// many seeds, the runs share the strategies among them.
template <class T>
std::vector<T> part_of_run(const std::vector<T>& all) {
  unsigned part = 0;
  unsigned parts = 1;
  const char* const wanted = std::getenv("EP_TEST_PART");
  if (wanted == nullptr || std::sscanf(wanted, "%u/%u", &part, &parts) != 2 || parts == 0) return all;
  std::vector<T> taken;
  for (std::size_t i = part; i < all.size(); i += parts) taken.push_back(all[i]);
  return taken;
}

/// Of the runs that share, the one that does what only takes long: true in it, and where nothing is shared.
inline bool takes_long_tests() {
  return !part_of_run(std::vector{0}).empty();
}

}  // namespace ep
