#pragma once
#include <cstdlib>

namespace ep {

/// Whether to do what only takes long: not with EP_TEST_QUICK set, as in most runs of a program that is run again with
/// each of many seeds.
inline bool takes_long_tests() {
  return std::getenv("EP_TEST_QUICK") == nullptr;
}

}  // namespace ep
