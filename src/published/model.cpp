#include "published/model.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/json.hpp"

namespace ep::published {

namespace {

using nlohmann::json;

double positive(const json& object, const char* name, std::string_view source, const std::string& path) {
  return core::positive_number(object.at(name), source, fmt::format("{}.{}", path, name));
}

std::string text(const json& value, std::string_view source, const std::string& path) {
  if (!value.is_string() || value.get<std::string>().empty()) {
    throw core::InputError(source, path, core::shown(value), "wanted a text that is not empty");
  }
  return value;
}

void read_hardware(const json& entry, std::string_view source, const std::string& path, Constants& constants) {
  core::require_fields(entry, source, path, {"name", "hw", "nic_gbs", "copy_gbs", "origin"});
  const std::string name = text(entry.at("name"), source, path + ".name");
  text(entry.at("origin"), source, path + ".origin");
  const Hardware hardware{positive(entry, "nic_gbs", source, path), positive(entry, "copy_gbs", source, path)};
  if (!constants.hardware.emplace(name, hardware).second) {
    throw core::InputError(source, path + ".name", name, "this hardware comes twice");
  }
  for (const json& hw : core::list(entry.at("hw"), source, path + ".hw")) {
    const std::string column = text(hw, source, path + ".hw");
    if (!constants.hardware_of.emplace(column, name).second) {
      throw core::InputError(source, path + ".hw", column, "it belongs to another hardware already");
    }
  }
}

void read_library(const json& entry, std::string_view source, const std::string& path, Constants& constants) {
  core::require_fields(entry, source, path, {"source", "in_node_by_nic", "copy_gbs", "latency_us", "origin"});
  const std::string name = text(entry.at("source"), source, path + ".source");
  text(entry.at("origin"), source, path + ".origin");
  const json& by_nic = entry.at("in_node_by_nic");
  if (!by_nic.is_boolean()) {
    throw core::InputError(source, path + ".in_node_by_nic", core::shown(by_nic), "wanted true or false");
  }
  const Library library{positive(entry, "copy_gbs", source, path), positive(entry, "latency_us", source, path)};
  if (!constants.libraries.emplace(name, library).second) {
    throw core::InputError(source, path + ".source", name, "this library comes twice");
  }
  constants.by_nic[name] = by_nic;
}

/// Payloads of one token through a rank's NIC and over its NVLink.
struct Payloads {
  double nic = 0;
  double nvlink = 0;
};

Payloads payloads(const Row& row, const TokenTraffic& token, bool by_nic) {
  if (row.kind == Kind::normal) {
    // A payload for each other node, which a peer there forwards: every distinct rank gets it over NVLink once.
    return {token.remote_nodes, token.ranks};
  }
  const double stay = by_nic ? token.rank_copies : token.node_copies;
  return {row.topk - stay, stay};
}

/// Payloads of one token that the row's metric counts.
double counted(const Row& row, const TokenTraffic& token) {
  if (row.metric == Metric::gbs_rdma) return token.nodes;
  return row.metric == Metric::gbs_nvl ? token.ranks : row.topk;
}

}  // namespace

Constants parse_constants(const std::string& text, std::string_view source) {
  const json document = core::parse_json(text, source);
  core::require_fields(document, source, "constants", {"format", "hardware", "libraries"});
  if (core::whole_number(document.at("format"), source, "format") != 1) {
    throw core::InputError(source, "format", core::shown(document.at("format")), "this program reads format 1");
  }
  Constants constants;
  std::size_t index = 0;
  for (const json& entry : core::list(document.at("hardware"), source, "hardware")) {
    read_hardware(entry, source, fmt::format("hardware[{}]", index++), constants);
  }
  index = 0;
  for (const json& entry : core::list(document.at("libraries"), source, "libraries")) {
    read_library(entry, source, fmt::format("libraries[{}]", index++), constants);
  }
  return constants;
}

std::vector<Figure> figures(const std::vector<Row>& rows, const Constants& constants) {
  std::vector<Figure> result;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Row& row = rows[i];
    if (!constants.hardware_of.contains(row.hw)) {
      throw core::InputError("constants", fmt::format("hw of line {}", row.line), row.hw, "no hardware lists it");
    }
    if (!constants.libraries.contains(row.source)) {
      throw core::InputError("constants", fmt::format("source of line {}", row.line), row.source, "no such library");
    }
    const TokenTraffic token = token_traffic(row);
    const Payloads each = payloads(row, token, constants.by_nic.at(row.source));
    const auto tokens = static_cast<double>(row.tokens_per_rank);
    const auto load = [&](std::int64_t payload) {
      const double bytes = tokens * static_cast<double>(payload);
      return Load{bytes * each.nic, bytes * each.nvlink};
    };
    const auto measured_us = [&](double value, std::int64_t payload) {
      if (row.metric == Metric::us) return value;
      return tokens * static_cast<double>(payload) * counted(row, token) / (value * 1e3);
    };
    if (row.metric == Metric::total_ms) {
      result.push_back({i, "total", row.dispatch * 1e3, {load(row.dispatch_payload), load(row.combine_payload)}});
      continue;
    }
    result.push_back({i, "dispatch", measured_us(row.dispatch, row.dispatch_payload), {load(row.dispatch_payload)}});
    result.push_back({i, "combine", measured_us(*row.combine, row.combine_payload), {load(row.combine_payload)}});
  }
  return result;
}

double time_us(const Figure& figure, double nic_gbs, double copy_gbs, double latency_us) {
  double sum = 0;
  for (const Load& load : figure.loads) {
    sum += latency_us + std::max(load.nic_bytes / (nic_gbs * 1e3), load.nvlink_bytes / (copy_gbs * 1e3));
  }
  return sum;
}

}  // namespace ep::published
