#include <algorithm>
#include <limits>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cluster/cluster.hpp"
#include "cluster/format.hpp"
#include "core/error.hpp"
#include "core/json.hpp"
#include "core/parse.hpp"

namespace ep::cluster {

namespace {

using nlohmann::json;

/// A value of the file with its path, which every complaint about it names.
class Field {
 public:
  Field(const json& value, std::string_view source, std::string path)
      : value_(value), source_(source), path_(std::move(path)) {}

  [[nodiscard]] Field operator[](const char* name) const {
    return {value_.at(name), source_, path_.empty() ? name : fmt::format("{}.{}", path_, name)};
  }
  void require(std::initializer_list<std::string_view> names,
               std::initializer_list<std::string_view> optional = {}) const {
    core::require_fields(value_, source_, path_.empty() ? "cluster" : path_, names, optional);
  }
  [[nodiscard]] bool has(const char* name) const { return value_.contains(name); }
  [[nodiscard]] bool is_null() const { return value_.is_null(); }
  [[nodiscard]] std::string_view source() const { return source_; }
  [[noreturn]] void fail(std::string_view wanted) const {
    throw core::InputError(source_, path_, core::shown(value_), wanted);
  }

  [[nodiscard]] std::string text() const {
    if (!value_.is_string() || value_.get<std::string>().empty()) fail("wanted a text that is not empty");
    return value_;
  }
  [[nodiscard]] bool yes_or_no() const {
    if (!value_.is_boolean()) fail("wanted true or false");
    return value_;
  }
  [[nodiscard]] double number() const {
    if (!value_.is_number()) fail("wanted a number");
    return value_;
  }
  [[nodiscard]] double positive() const { return core::positive_number(value_, source_, path_); }
  [[nodiscard]] double at_least(double least) const {
    if (!value_.is_number() || !(value_.get<double>() >= least))
      fail(fmt::format("wanted a number of at least {}", least));
    return value_;
  }
  [[nodiscard]] int whole(int least) const {
    const std::int64_t number = core::whole_number(value_, source_, path_);
    if (number < least || number > std::numeric_limits<int>::max()) {
      fail(fmt::format("wanted a whole number of at least {}", least));
    }
    return static_cast<int>(number);
  }
  [[nodiscard]] std::vector<Field> elements() const {
    std::vector<Field> fields;
    for (const json& element : core::list(value_, source_, path_)) {
      fields.emplace_back(element, source_, fmt::format("{}[{}]", path_, fields.size()));
    }
    return fields;
  }
  [[nodiscard]] std::vector<std::string> keys() const {
    if (!value_.is_object()) fail("wanted an object");
    std::vector<std::string> names;
    for (const auto& [key, value] : value_.items()) names.push_back(key);
    return names;
  }

 private:
  const json& value_;
  std::string_view source_;
  std::string path_;
};

void read_points(const Field& field, cost::Line& line) {
  if (!field.has("points")) return;
  cost::Point before{0, line.latency_us};
  for (const Field& point : field["points"].elements()) {
    point.require({"bytes", "us"});
    const cost::Point next{point["bytes"].positive(), point["us"].positive()};
    if (next.size <= before.size) point["bytes"].fail("wanted more bytes than in the point before");
    if (next.us < before.us)
      point["us"].fail("more bytes than in the point before, or than none, would take less time");
    line.points.push_back(before = next);
  }
}

Cited<cost::Line> read_memory(const Field& field) {
  field.require({"latency_us", "gbs", "origin"}, {"points"});
  cost::Line line{field["latency_us"].at_least(0), field["gbs"].positive()};
  read_points(field, line);
  return {line, field["origin"].text()};
}

std::optional<Cited<cost::Line>> read_link(const Field& field) {
  if (field.is_null()) return std::nullopt;
  field.require({"start_us", "latency_us", "gbs", "origin"}, {"points"});
  cost::Line line{field["latency_us"].at_least(0), field["gbs"].positive(), field["start_us"].at_least(0)};
  read_points(field, line);
  return Cited<cost::Line>{line, field["origin"].text()};
}

void read_links(const Field& field, Cluster& cluster) {
  field.require({"in_node", "between_nodes", "node_memory", "node_nic", "fabric"});
  cluster.in_node = read_link(field["in_node"]);
  cluster.between_nodes = read_link(field["between_nodes"]);
  cluster.node_memory = read_link(field["node_memory"]);
  cluster.node_nic = read_link(field["node_nic"]);
  cluster.fabric = read_link(field["fabric"]);
  if (cluster.ranks_per_node > 1 && !cluster.in_node) field["in_node"].fail("the file has several ranks a node");
  if (cluster.nodes > 1 && !cluster.between_nodes) field["between_nodes"].fail("the file has several nodes");
}

std::optional<schedule::OpKind> kernel_named(std::string_view name) {
  for (int kind = 0; kind <= std::numeric_limits<std::uint8_t>::max(); ++kind) {
    if (schedule::name_of(static_cast<schedule::OpKind>(kind)) == name) return static_cast<schedule::OpKind>(kind);
  }
  return std::nullopt;
}

void read_kernels(const Field& field, Cluster& cluster) {
  for (const std::string& name : field.keys()) {
    const auto kernel = kernel_named(name);
    if (!kernel || name == "?") {
      throw core::InputError(field.source(), "kernels", name, "no operation of the layer has this name");
    }
    cluster.kernels[*kernel] = read_memory(field[name.c_str()]);
  }
}

Cited<cost::GemmCurve> read_curve(const Field& field) {
  field.require({"n", "k", "weight_grad", "points", "origin"});
  Cited<cost::GemmCurve> curve{{field["n"].whole(1), field["k"].whole(1), {}}, field["origin"].text()};
  curve.value.weight_grad = field["weight_grad"].yes_or_no();
  for (const Field& point : field["points"].elements()) {
    point.require({"rows", "tflops"});
    const double rows = point["rows"].positive();
    const double us = gemm_flops(curve.value, rows) / (point["tflops"].positive() * 1e6);
    auto& points = curve.value.points;
    if (!points.empty() && rows <= points.back().size) point["rows"].fail("wanted more rows than in the point before");
    // A hair of tolerance: the same time written as two rates need not divide back to the last bit.
    constexpr double kRounding = 1e-9;
    if (!points.empty() && us < points.back().us * (1 - kRounding)) {
      point["tflops"].fail("more rows than in the point before would take less time");
    }
    points.push_back({rows, points.empty() ? us : std::max(us, points.back().us)});
  }
  if (curve.value.points.empty()) field["points"].fail("wanted at least one point");
  return curve;
}

void read_gemm(const Field& field, Cluster& cluster) {
  for (const Field& curve : field.elements()) cluster.gemm.push_back(read_curve(curve));
  if (cluster.gemm.empty()) field.fail("wanted at least one curve");
}

void read_link_scale(const Field& field, Cluster& cluster) {
  for (const Field& entry : field.elements()) {
    entry.require({"node", "egress", "ingress", "origin"});
    const int node = entry["node"].whole(0);
    if (cluster.link_scale.contains(node)) entry["node"].fail("this node comes twice");
    cluster.link_scale[node] = {{entry["egress"].positive(), entry["ingress"].positive()}, entry["origin"].text()};
  }
}

void read_ranks(const Field& field, Cluster& cluster) {
  for (const Field& entry : field.elements()) {
    entry.require({"rank", "in_node", "between_nodes", "compute", "origin"});
    const int rank = entry["rank"].whole(0);
    if (cluster.ranks.contains(rank)) entry["rank"].fail("this rank comes twice");
    Cited<cost::RankOverride> own{{}, entry["origin"].text()};
    if (const auto link = read_link(entry["in_node"])) own.value.in_node = link->value;
    if (const auto link = read_link(entry["between_nodes"])) own.value.between_nodes = link->value;
    own.value.compute = entry["compute"].positive();
    cluster.ranks.emplace(rank, std::move(own));
  }
}

/// What a fit may be of, by its place in the file.
std::set<std::string> figures(const Cluster& cluster) {
  std::set<std::string> names{"own_memory"};
  const auto add = [&](const char* name, const std::optional<Cited<cost::Line>>& link) {
    if (link) names.insert(fmt::format("links.{}", name));
  };
  add("in_node", cluster.in_node);
  add("between_nodes", cluster.between_nodes);
  add("node_memory", cluster.node_memory);
  add("node_nic", cluster.node_nic);
  add("fabric", cluster.fabric);
  for (const auto& [kernel, line] : cluster.kernels) names.insert(fmt::format("kernels.{}", schedule::name_of(kernel)));
  for (std::size_t i = 0; i < cluster.gemm.size(); ++i) names.insert(fmt::format("gemm[{}]", i));
  return names;
}

std::optional<cost::Estimate> read_estimate(const Field& field) {
  if (field.is_null()) return std::nullopt;
  field.require({"value", "low", "high"});
  const cost::Estimate estimate{field["value"].positive(), field["low"].positive(), field["high"].positive()};
  if (estimate.low > estimate.value) field["low"].fail("wanted no more than the value");
  if (estimate.high < estimate.value) field["high"].fail("wanted no less than the value");
  return estimate;
}

cost::Fit read_fit(const Field& field) {
  field.require({"r_squared", "fixed_us", "gbs", "worst_residual", "samples"});
  cost::Fit fit;
  if (!field["r_squared"].is_null()) fit.r_squared = field["r_squared"].number();
  if (fit.r_squared > 1) field["r_squared"].fail("wanted a number of at most 1, or null");
  fit.fixed_us = read_estimate(field["fixed_us"]);
  fit.gbs = read_estimate(field["gbs"]);
  for (const Field& sample : field["samples"].elements()) {
    sample.require({"size", "us", "residual"});
    const double size = sample["size"].positive();
    if (!fit.samples.empty() && size < fit.samples.back().size) sample["size"].fail("less than in the sample before");
    fit.samples.push_back({size, sample["us"].positive(), sample["residual"].number()});
  }
  if (fit.samples.empty()) field["samples"].fail("wanted at least one sample");
  if (field["worst_residual"].number() != fit.worst_residual())
    field["worst_residual"].fail("wanted the largest residual of the samples, without its sign");
  return fit;
}

/// @pre all else has been read
void read_fits(const Field& field, Cluster& cluster) {
  const std::set<std::string> known = figures(cluster);
  for (const std::string& name : field.keys()) {
    if (!known.contains(name))
      throw core::InputError(field.source(), "fits", name, "the file has no figure of this name");
    cluster.fits[name] = read_fit(field[name.c_str()]);
  }
}

}  // namespace

Cluster parse(const std::string& text, std::string_view source) {
  const json document = core::parse_json(text, source);
  const Field file(document, source, "");
  file.require({"format", "name", "nodes", "ranks_per_node", "links_at_once", "links", "own_memory", "kernels",
                "counts", "gemm", "overlap", "link_scale", "ranks"},
               {"fits"});
  if (file["format"].whole(0) != kFormat) file["format"].fail(fmt::format("this program reads format {}", kFormat));
  Cluster cluster;
  cluster.name = file["name"].text();
  cluster.nodes = file["nodes"].whole(1);
  cluster.ranks_per_node = file["ranks_per_node"].whole(1);
  cluster.links_at_once = file["links_at_once"].yes_or_no();
  read_links(file["links"], cluster);
  cluster.own_memory = read_memory(file["own_memory"]);
  read_kernels(file["kernels"], cluster);
  file["counts"].require({"latency_us", "origin"});
  cluster.counts_us = {file["counts"]["latency_us"].at_least(0), file["counts"]["origin"].text()};
  read_gemm(file["gemm"], cluster);
  const Field overlap = file["overlap"];
  overlap.require({"compute", "comm", "origin"});
  cluster.overlap = {{overlap["compute"].at_least(1), overlap["comm"].at_least(1)}, overlap["origin"].text()};
  read_link_scale(file["link_scale"], cluster);
  read_ranks(file["ranks"], cluster);
  if (file.has("fits")) read_fits(file["fits"], cluster);
  return cluster;
}

Cluster load(const std::string& path) {
  constexpr std::int64_t kMostBytes = std::int64_t{16} << 20;
  return parse(core::read_file(path, kMostBytes), core::input_name(path));
}

}  // namespace ep::cluster
