#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/dtype.hpp"
#include "core/random.hpp"
#include "kernels/stream_store_cpu.hpp"

namespace ep::kernels {

using core::BFloat16;

inline int below(core::Random& random, int n) {
  return static_cast<int>(random.below(static_cast<std::uint64_t>(n)));
}

inline float as_float(float value) {
  return value;
}
inline float as_float(BFloat16 value) {
  return core::to_float(value);
}

/// Values in (-1, 1), so that sums neither overflow nor hide a wrong term.
inline std::vector<float> random_floats(core::Random& random, std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(2 * random.uniform() - 1);
  return values;
}

inline std::vector<BFloat16> random_bf16(core::Random& random, std::int64_t count) {
  std::vector<BFloat16> values;
  for (const float value : random_floats(random, count)) values.push_back(core::to_bfloat16(value));
  return values;
}

inline std::vector<std::byte> random_bytes(core::Random& random, std::int64_t count) {
  std::vector<std::byte> values(static_cast<std::size_t>(count));
  for (std::byte& value : values) value = static_cast<std::byte>(random.next());
  return values;
}

/// [tokens, topk] distinct experts a token, about one in eight masked.
inline std::vector<std::int32_t> random_experts(core::Random& random, std::int64_t tokens, int topk, int experts) {
  std::vector<std::int32_t> ids;
  for (std::int64_t token = 0; token < tokens; ++token) {
    const int first = below(random, experts);
    for (int k = 0; k < topk; ++k) ids.push_back(below(random, 8) == 0 ? -1 : (first + k) % experts);
  }
  return ids;
}

/// Stable sort of the copies by bucket_of_expert, written the slow and plain way.
inline std::vector<std::int32_t> bucket_positions(const std::vector<std::int32_t>& ids,
                                                  const std::vector<std::int32_t>& bucket_of_expert, int buckets) {
  std::vector<std::int32_t> position(ids.size(), -1);
  std::int32_t row = 0;
  for (int bucket = 0; bucket < buckets; ++bucket)
    for (std::size_t i = 0; i < ids.size(); ++i)
      if (ids[i] >= 0 && bucket_of_expert[static_cast<std::size_t>(ids[i])] == bucket) position[i] = row++;
  return position;
}

/// Runs each test with plain and with streaming stores, which shapes small enough to test would not choose.
class BothStores : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override { set_streaming_threshold_bytes(GetParam() ? 0 : std::numeric_limits<std::int64_t>::max()); }
  void TearDown() override { set_streaming_threshold_bytes(before_); }

 private:
  std::int64_t before_ = streaming_threshold_bytes();
};

inline std::string name_of_stores(const testing::TestParamInfo<bool>& info) {
  return info.param ? "streaming" : "plain";
}

}  // namespace ep::kernels
