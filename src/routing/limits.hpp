#pragma once
#include <cstdint>
#include <string_view>

namespace ep::routing {

// A routing takes 8 bytes a copy in every process. These bounds are far above any real job (2^28 copies: 1024 ranks of
// 32,768 tokens with top-8) and keep a slip of the keyboard or a hostile file from filling the memory.
constexpr std::int64_t kMaxCopies = std::int64_t{1} << 28;
constexpr std::int64_t kMaxExperts = std::int64_t{1} << 20;
constexpr std::int64_t kMaxFileBytes = std::int64_t{1} << 32;

/// Throws InputError unless 0 <= tokens, 1 <= experts <= kMaxExperts, 1 <= topk <= experts, tokens * topk <=
/// kMaxCopies.
void check_sizes(std::string_view source, std::int64_t tokens, std::int64_t topk, std::int64_t experts);

}  // namespace ep::routing
