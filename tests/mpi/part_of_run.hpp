#pragma once
#include <algorithm>
#include <cstdlib>
#include <vector>

namespace ep {

/// With EP_TEST_PARTS=n and EP_TEST_PART=i, every n-th of `all` from number i on, otherwise all: where a program is run
/// again with each of many seeds, the runs share the strategies among them.
template <class T>
std::vector<T> part_of_run(const std::vector<T>& all) {
  const auto number = [](const char* variable) {
    const char* const value = std::getenv(variable);
    return value == nullptr ? std::size_t{0} : std::strtoul(value, nullptr, 10);
  };
  const std::size_t parts = std::max(std::size_t{1}, number("EP_TEST_PARTS"));
  std::vector<T> taken;
  for (std::size_t i = number("EP_TEST_PART") % parts; i < all.size(); i += parts) taken.push_back(all[i]);
  return taken;
}

/// Of the runs that share, the one that does what only takes long: true in it, and where nothing is shared.
inline bool takes_long_tests() {
  return !part_of_run(std::vector{0}).empty();
}

}  // namespace ep
