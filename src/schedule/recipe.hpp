#pragma once
#include <string_view>

#include "schedule/builder.hpp"

namespace ep::schedule {

/// What a strategy is: the order in which it asks for each pass's operations. A file each, listed in strategy.cpp.
struct Recipe {
  std::string_view name;
  int chunks;   // 0: as many as the user says behind the name, "chunked:4"
  bool serial;  // nothing runs beside anything
  void (*forward)(Builder& builder);
  /// @param defer_dw weight gradients wait until the combine they would delay is on its way.
  void (*backward)(Builder& builder, bool defer_dw);
};

extern const Recipe kSequential;
extern const Recipe kOverlapped;
extern const Recipe kChunked;
extern const Recipe kTwoBatch;

}  // namespace ep::schedule
