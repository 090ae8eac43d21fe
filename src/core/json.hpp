#pragma once
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

// Strict reading of JSON that users hand us. Every function throws InputError naming `source`, `field` and the value.
namespace ep::core {

/// Parses a whole JSON text; `source` is the file it came from. Beyond the grammar it refuses duplicate keys, of which
/// parsers keep one or the other, and nesting deeper than any input of ours, which could exhaust the memory.
nlohmann::json parse_json(const std::string& text, std::string_view source);

/// A value as it goes into a message: scalars shortened to one readable line, containers by their type.
std::string shown(const nlohmann::json& value);

/// Throws unless `object` is an object with exactly these fields, and any of the optional ones.
void require_fields(const nlohmann::json& object, std::string_view source, std::string_view field,
                    std::initializer_list<std::string_view> names,
                    std::initializer_list<std::string_view> optional = {});

/// Throws unless `value` is a list; returns it.
const nlohmann::json& list(const nlohmann::json& value, std::string_view source, std::string_view field);

/// A whole number from 0 to 2^63 - 1, written without fraction or exponent.
std::int64_t whole_number(const nlohmann::json& value, std::string_view source, std::string_view field);

/// A finite number above 0.
double positive_number(const nlohmann::json& value, std::string_view source, std::string_view field);

/// (key, value) pairs of whole numbers from an object {"0": 3, …}, in the object's order, or from a list, whose keys
/// are positions. No key comes twice.
std::vector<std::pair<std::int64_t, std::int64_t>> whole_number_map(const nlohmann::json& value,
                                                                    std::string_view source, std::string_view field);

}  // namespace ep::core
