#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "routing/limits.hpp"
#include "routing/routing.hpp"

namespace ep::routing {

/// Expert ids as a file has them: each kMasked or from 0 to kMaxExperts - 1.
struct FileIds {
  std::int64_t tokens = 0;
  std::int64_t topk = 0;
  std::vector<std::int32_t> ids;  // [tokens, topk]
};

template <class Integer>
constexpr bool is_id(Integer value) {
  return std::cmp_greater_equal(value, kMasked) && std::cmp_less(value, kMaxExperts);
}

/// Ids of the first `tokens` (0: all) tokens of the NumPy file `content`, of `layer` where it has layers. `path` is for
/// messages. Throws InputError naming the path, the field and its value.
FileIds read_npy(std::string_view content, const std::string& path, std::optional<std::int64_t> layer,
                 std::int64_t tokens);

/// Ids of the first `tokens` (0: all) lines of JSONL `content`, shorter lists padded with kMasked to `topk` (0: to the
/// longest list). `path` is for messages. Throws InputError naming the path and the line.
FileIds read_jsonl(std::string_view content, const std::string& path, std::int64_t tokens, int topk);

/// How messages name a place in such a file.
std::string npy_slot_name(std::int64_t token, std::int64_t slot);
std::string jsonl_slot_name(std::int64_t token, std::int64_t slot);

/// How many tokens to read when `wanted` (0: all) of `available` are asked for. Throws InputError when there are fewer.
std::int64_t tokens_to_read(const std::string& path, std::int64_t available, std::int64_t wanted);

/// What a message shows of a file's content: 40 characters at most, and nothing that a terminal could act on.
std::string excerpt(std::string_view text);

}  // namespace ep::routing
