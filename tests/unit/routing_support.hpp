#pragma once
#include <filesystem>
#include <fstream>
#include <functional>
#include <numeric>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

#include <gmock/gmock.h>

#include "core/error.hpp"
#include "routing/routing.hpp"

namespace ep::routing::testing {

/// Runs `action`, which must throw an InputError whose message holds every one of `parts`.
inline void expect_input_error(const std::function<void()>& action, const std::vector<std::string>& parts) {
  try {
    action();
  } catch (const core::InputError& error) {
    EXPECT_EQ(error.code(), core::ExitCode::usage);
    for (const auto& part : parts) EXPECT_THAT(error.what(), ::testing::HasSubstr(part));
    return;
  }
  ADD_FAILURE() << "no InputError; wanted one with " << ::testing::PrintToString(parts);
}

/// A file with the given content that lives as long as this object.
class TemporaryFile {
 public:
  TemporaryFile(std::string_view content, std::string_view suffix) {
    static int count = 0;
    path_ = std::filesystem::temp_directory_path() /
            ("epbench-routing-" + std::to_string(::getpid()) + "-" + std::to_string(count++) + std::string(suffix));
    std::ofstream(path_, std::ios::binary) << content;
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

/// Experts 0 to `hot` - 1 are the hot ones.
inline RoutingShape shape_of(std::int64_t tokens, int topk, int experts, std::uint64_t seed, int hot = 0) {
  RoutingShape shape{.tokens = tokens, .topk = topk, .experts = experts, .seed = seed, .hot_experts = {}};
  shape.hot_experts.resize(static_cast<std::size_t>(hot));
  std::iota(shape.hot_experts.begin(), shape.hot_experts.end(), 0);
  return shape;
}

/// A valid routing of the given ids; gate weights 1.
inline Routing make_routing(std::int64_t tokens, int topk, int experts, std::vector<std::int32_t> ids) {
  Routing routing;
  routing.tokens = tokens;
  routing.topk = topk;
  routing.experts = experts;
  routing.gate_weights.assign(ids.size(), 1.0F);
  routing.expert_ids = std::move(ids);
  routing.source = "made";
  return routing;
}

/// Expert e on rank floor(e * ranks / experts).
inline std::vector<std::int32_t> block_placement(int experts, int ranks) {
  std::vector<std::int32_t> rank_of(static_cast<std::size_t>(experts));
  for (int e = 0; e < experts; ++e) rank_of[static_cast<std::size_t>(e)] = e * ranks / experts;
  return rank_of;
}

/// Copies that each expert receives, [experts].
inline std::vector<std::int64_t> loads(const Routing& routing) {
  std::vector<std::int64_t> result(static_cast<std::size_t>(routing.experts));
  for (const auto id : routing.expert_ids) {
    if (id != kMasked) ++result[static_cast<std::size_t>(id)];
  }
  return result;
}

/// Mean share of a token's experts that the token before has too.
inline double overlap(const Routing& routing) {
  std::int64_t shared = 0;
  for (std::int64_t token = 1; token < routing.tokens; ++token) {
    const auto before = routing.experts_of(token - 1);
    for (const auto id : routing.experts_of(token)) shared += std::count(before.begin(), before.end(), id);
  }
  return static_cast<double>(shared) / static_cast<double>((routing.tokens - 1) * routing.topk);
}

}  // namespace ep::routing::testing
