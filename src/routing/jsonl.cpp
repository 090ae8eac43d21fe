#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "routing/file_ids.hpp"

namespace ep::routing {

namespace {

using core::InputError;
using nlohmann::json;

/// Cuts the first line off `text`.
std::string_view take_line(std::string_view& text) {
  const auto end = std::min(text.find('\n'), text.size());
  const auto line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

bool is_id(const json& value) {
  if (value.is_number_unsigned()) return routing::is_id(value.get<std::uint64_t>());
  return value.is_number_integer() && routing::is_id(value.get<std::int64_t>());
}

/// Appends the ids of one line and returns how many they are.
std::size_t read_line(std::string_view line, const std::string& path, std::int64_t token,
                      std::vector<std::int32_t>& ids) {
  // A second bracket is refused before the parser builds what it opens: nesting can be as deep as the file is long.
  const bool nested = line.find_first_of("[{", line.find('[') + 1) != std::string_view::npos;
  const json list = nested ? json() : json::parse(line, nullptr, false);
  if (!list.is_array()) {
    throw InputError(path, fmt::format("line {}", token + 1), excerpt(line),
                     "wanted a JSON list of expert ids, such as [3, 17]; [] for a token without experts");
  }
  for (std::size_t slot = 0; slot < list.size(); ++slot) {
    if (!is_id(list[slot])) {
      // Non-UTF-8 bytes cannot be here: the parser refuses them.
      throw InputError(
          path, jsonl_slot_name(token, static_cast<std::int64_t>(slot)), excerpt(list[slot].dump()),
          fmt::format("wanted a whole number from 0 to {}, or {} for a masked slot", kMaxExperts - 1, kMasked));
    }
    ids.push_back(list[slot].get<std::int32_t>());
  }
  return list.size();
}

}  // namespace

std::string jsonl_slot_name(std::int64_t token, std::int64_t slot) {
  return fmt::format("line {}, entry {}", token + 1, slot + 1);
}

FileIds read_jsonl(std::string_view content, const std::string& path, std::int64_t tokens, int topk) {
  std::vector<std::int32_t> flat;
  std::vector<std::size_t> lengths;  // [tokens]
  while (!content.empty() && (tokens == 0 || std::cmp_less(lengths.size(), tokens))) {
    const auto line = take_line(content);
    lengths.push_back(read_line(line, path, static_cast<std::int64_t>(lengths.size()), flat));
    if (topk != 0 && std::cmp_greater(lengths.back(), topk)) {
      throw InputError(path, fmt::format("line {}", lengths.size()), fmt::format("{} ids", lengths.back()),
                       fmt::format("wanted at most {} (topk)", topk));
    }
  }
  const std::size_t longest = lengths.empty() ? 0 : *std::max_element(lengths.begin(), lengths.end());
  FileIds result{.tokens = tokens_to_read(path, static_cast<std::int64_t>(lengths.size()), tokens),
                 .topk = topk != 0 ? topk : static_cast<std::int64_t>(longest),
                 .ids = {}};
  check_sizes(path, result.tokens, result.topk, kMaxExperts);

  result.ids.assign(static_cast<std::size_t>(result.tokens * result.topk), kMasked);
  auto from = flat.begin();
  auto to = result.ids.begin();
  for (const std::size_t length : lengths) {
    std::copy_n(from, length, to);
    from += static_cast<std::ptrdiff_t>(length);
    to += static_cast<std::ptrdiff_t>(result.topk);
  }
  return result;
}

}  // namespace ep::routing
