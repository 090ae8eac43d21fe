#include "core/json.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "core/error.hpp"

namespace ep::core {

namespace {

using nlohmann::json;

constexpr int kMaxDepth = 16;

/// Watches the parser: knows the field it stands in, refuses what the grammar lets through.
class Strictness {
 public:
  explicit Strictness(std::string_view source) : source_(source) {}

  [[nodiscard]] const std::string& field() const { return field_; }

  void see(int depth, json::parse_event_t event, const json& parsed) {
    if (event == json::parse_event_t::object_start) keys_.emplace_back();
    if (event == json::parse_event_t::object_end) keys_.pop_back();
    if (event == json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (depth == 1) field_ = key;
      if (!keys_.back().insert(key).second) throw InputError(source_, field_, shown(parsed), "this key comes twice");
    }
    if (depth > kMaxDepth) throw InputError(source_, field_, fmt::format("{} levels", depth), "nested too deeply");
  }

 private:
  std::string_view source_;
  std::string field_ = "JSON";
  std::vector<std::set<std::string>> keys_;  // of each object that is open
};

/// The library's message without its own prefix, in ASCII: it quotes what it read, which may be no text at all.
std::string reason(std::string message) {
  if (const auto bracket = message.find("] "); bracket != std::string::npos) message.erase(0, bracket + 2);
  std::replace_if(
      message.begin(), message.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return message;
}

}  // namespace

json parse_json(const std::string& text, std::string_view source) {
  // The parser takes a zero byte for the end of the text and would ignore what follows.
  if (text.find('\0') != std::string::npos) throw InputError(source, "JSON", "a zero byte", "this is not text");
  if (text.find_first_not_of(" \t\r\n") == std::string::npos)
    throw InputError(source, "JSON", "nothing", "it is empty");
  Strictness strictness(source);
  try {
    return json::parse(text, [&](int depth, json::parse_event_t event, const json& parsed) {
      strictness.see(depth, event, parsed);
      return true;
    });
  } catch (const json::exception& error) {
    throw InputError(source, strictness.field(), "not valid JSON", reason(error.what()));
  }
}

std::string shown(const json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "a list";
  constexpr std::size_t kMaxLength = 60;
  std::string text = value.dump(-1, ' ', true);
  if (text.size() > kMaxLength) text.replace(kMaxLength, std::string::npos, "…");
  return text;
}

void require_fields(const json& object, std::string_view source, std::string_view field,
                    std::initializer_list<std::string_view> names, std::initializer_list<std::string_view> optional) {
  const auto among = [](std::initializer_list<std::string_view> list, std::string_view name) {
    return std::find(list.begin(), list.end(), name) != list.end();
  };
  const auto fail = [&](const std::string& found) {
    throw InputError(source, field, found,
                     fmt::format("wanted an object with exactly {}{}{}", fmt::join(names, ", "),
                                 optional.size() > 0 ? ", and perhaps " : "", fmt::join(optional, ", ")));
  };
  if (!object.is_object()) fail(shown(object));
  for (const auto& [key, value] : object.items()) {
    if (!among(names, key) && !among(optional, key)) fail(fmt::format("unknown field {}", shown(key)));
  }
  for (const std::string_view name : names) {
    if (!object.contains(name)) fail(fmt::format("no field \"{}\"", name));
  }
}

const json& list(const json& value, std::string_view source, std::string_view field) {
  if (!value.is_array()) throw InputError(source, field, shown(value), "wanted a list");
  return value;
}

std::int64_t whole_number(const json& value, std::string_view source, std::string_view field) {
  constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > kMax) {
    throw InputError(source, field, shown(value), "wanted a whole number from 0 to 2^63 - 1");
  }
  return value.get<std::int64_t>();
}

double positive_number(const json& value, std::string_view source, std::string_view field) {
  if (!value.is_number() || !(value.get<double>() > 0)) {
    throw InputError(source, field, shown(value), "wanted a number above 0");
  }
  return value.get<double>();
}

std::vector<std::pair<std::int64_t, std::int64_t>> whole_number_map(const json& value, std::string_view source,
                                                                    std::string_view field) {
  if (!value.is_object() && !value.is_array()) {
    throw InputError(source, field, shown(value), "wanted an object {\"0\": 0, …} or a list");
  }
  std::vector<std::pair<std::int64_t, std::int64_t>> pairs;
  pairs.reserve(value.size());
  for (const auto& [key, entry] : value.items()) {
    std::int64_t number = 0;
    const char* const end = key.data() + key.size();
    const auto [stop, error] = std::from_chars(key.data(), end, number);
    const bool canonical = error == std::errc{} && stop == end && std::to_string(number) == key && number >= 0;
    if (!canonical) throw InputError(source, field, "key " + shown(key), "wanted a whole number like \"12\"");
    pairs.emplace_back(number, whole_number(entry, source, fmt::format("{}[{}]", field, key)));
  }
  return pairs;
}

}  // namespace ep::core
