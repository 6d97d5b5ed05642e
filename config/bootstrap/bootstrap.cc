#include "config/bootstrap/bootstrap.h"

#include "config/bootstrap/command_line.h"
#include "config/bootstrap/node.h"
#include "config/bootstrap/runtime.h"
#include "config/bootstrap/yaml.h"
#include "config/xds/decode_common.h"
#include "config/xds/field_table.h"
#include "config/xds/json.h"
#include "config/xds/scope.h"

#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/config/core/v3/config_source.pb.h"
#include "envoy/config/metrics/v3/stats.pb.h"
#include "envoy/extensions/resource_monitors/downstream_connections/v3/downstream_connections.pb.h"

#include <boost/regex.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace clew {

namespace core = envoy::config::core::v3;
namespace metrics = envoy::config::metrics::v3;
using Message = envoy::config::bootstrap::v3::Bootstrap;

namespace {

constexpr std::size_t max_file = 16 * 1024 * 1024;
constexpr std::size_t max_bounds = 1000;  // every histogram counts in all of them

// ---- text ----

/// One text into one message. Unknown fields are refused, or reported where the command line tolerates them.
std::string parse_text(std::string_view text, std::string_view name, const CommandLine& options, Message& into,
                       std::vector<std::string>& warnings) {
  std::string converted;
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return fmt::format("{}: is empty", name);
  if (text[first] != '{') {
    if (auto yaml = yaml_to_json(text, converted); !yaml) return fmt::format("{}: {}", name, yaml.error().message);
    text = converted;
  }
  const auto strict = from_json(text, into);
  if (strict) return {};
  if (converted.empty() && yaml_to_json(text, converted)) {  // YAML may begin with a brace too: {node: {id: x}}
    into.Clear();
    if (from_json(converted, into)) return {};
  }
  std::string problem = fmt::format("{}: {}", name, strict.error().message);
  if (!options.allow_unknown_static_fields) return problem;
  into.Clear();
  if (auto tolerant = from_json(text, into, {.ignore_unknown_fields = true}); !tolerant)
    return fmt::format("{}: {}", name, tolerant.error().message);
  warnings.push_back(std::move(problem));
  return {};
}

// ---- sections ----

void decode_admin(const Message& message, Scope& scope, Bootstrap& out) {
  if (!message.has_admin()) return;
  const Scope::Field in(scope, "admin");
  const auto& admin = message.admin();
  if (admin.has_address()) {
    const Scope::Field address(scope, "address");
    if (admin.address().socket_address().address() == "localhost")
      out.admin_address =
          Address(IpAddress::v4(0x7f000001), static_cast<std::uint16_t>(admin.address().socket_address().port_value()));
    else
      out.admin_address = decode_address(admin.address(), scope);
  }
}

void decode_dynamic_resources(const Message& message, Scope& scope, Bootstrap& out) {
  if (!message.has_dynamic_resources()) return;
  const Scope::Field in(scope, "dynamic_resources");
  const auto& dynamic = message.dynamic_resources();
  if (dynamic.has_lds_config() && !dynamic.lds_config().has_ads()) scope.fail("lds_config", "must be ads");
  if (dynamic.has_cds_config() && !dynamic.cds_config().has_ads()) scope.fail("cds_config", "must be ads");
  if (!dynamic.has_ads_config()) {
    if (dynamic.has_lds_config() || dynamic.has_cds_config())
      scope.fail("ads_config", "is missing, though resources come over it");
    return;
  }
  const Scope::Field ads_in(scope, "ads_config");
  const auto& source = dynamic.ads_config();
  Bootstrap::Ads ads;
  switch (source.api_type()) {
    case core::ApiConfigSource::DELTA_GRPC: break;
    case core::ApiConfigSource::GRPC: ads.delta = false; break;
    default: scope.fail("api_type", "must be DELTA_GRPC or GRPC");
  }
  if (source.grpc_services_size() != 1 || source.grpc_services(0).envoy_grpc().cluster_name().empty()) {
    scope.fail("grpc_services", "must be one envoy_grpc service with a cluster_name");
    return;
  }
  ads.cluster = source.grpc_services(0).envoy_grpc().cluster_name();
  const auto& clusters = message.static_resources().clusters();
  if (std::none_of(clusters.begin(), clusters.end(), [&](const auto& c) { return c.name() == ads.cluster; }))
    scope.fail("grpc_services[0].envoy_grpc.cluster_name",
               fmt::format("«{}» is not among static_resources.clusters", printable(ads.cluster)));
  out.ads = std::move(ads);
}

void decode_stats_matcher(const metrics::StatsMatcher& message, Scope& scope, StatsConfig& out) {
  const Scope::Field in(scope, "stats_matcher");
  const auto patterns = [&](const envoy::type::matcher::v3::ListStringMatcher& list, std::string_view field) {
    const Scope::Field of(scope, field);
    for (int i = 0; i < list.patterns_size(); ++i) {
      const Scope::Field at(scope, "patterns", static_cast<std::size_t>(i));
      out.patterns.push_back(decode_string_matcher(list.patterns(i), scope));
    }
  };
  switch (message.stats_matcher_case()) {
    case metrics::StatsMatcher::kRejectAll:
      out.matching = message.reject_all() ? StatsConfig::Matching::none : StatsConfig::Matching::all;
      break;
    case metrics::StatsMatcher::kInclusionList:
      out.matching = StatsConfig::Matching::inclusion;
      patterns(message.inclusion_list(), "inclusion_list");
      break;
    case metrics::StatsMatcher::kExclusionList:
      out.matching = StatsConfig::Matching::exclusion;
      patterns(message.exclusion_list(), "exclusion_list");
      break;
    case metrics::StatsMatcher::STATS_MATCHER_NOT_SET: scope.fail("says nothing");
  }
}

void decode_stats_tags(const metrics::StatsConfig& message, Scope& scope, StatsConfig& out) {
  for (int i = 0; i < message.stats_tags_size(); ++i) {
    const Scope::Field in(scope, "stats_tags", static_cast<std::size_t>(i));
    const auto& tag = message.stats_tags(i);
    if (tag.tag_name().empty()) scope.fail("tag_name", "is empty");
    try {
      const boost::regex check(tag.regex(), boost::regex::ECMAScript);
      // Without a group there is neither a name to shorten nor a value.
      if (!tag.regex().empty() && check.mark_count() == 0) scope.fail("regex", "has no group");
    } catch (const boost::regex_error& error) {
      scope.fail("regex", fmt::format("«{}»: {}", printable(tag.regex()), printable(error.what())));
    }
    out.tags.push_back({tag.tag_name(), tag.regex(), tag.fixed_value()});
  }
}

void decode_buckets(const metrics::StatsConfig& message, Scope& scope, StatsConfig& out) {
  std::size_t total = 0;
  for (int i = 0; i < message.histogram_bucket_settings_size(); ++i) {
    const Scope::Field in(scope, "histogram_bucket_settings", static_cast<std::size_t>(i));
    const auto& setting = message.histogram_bucket_settings(i);
    StatsConfig::Buckets buckets;
    {
      const Scope::Field at(scope, "match");
      buckets.match = decode_string_matcher(setting.match(), scope);
    }
    buckets.bounds.assign(setting.buckets().begin(), setting.buckets().end());
    total += buckets.bounds.size();
    const auto usable = [](double bound) { return std::isfinite(bound) && bound > 0; };
    if (buckets.bounds.empty() || !std::all_of(buckets.bounds.begin(), buckets.bounds.end(), usable) ||
        total > max_bounds)
      scope.fail("buckets", fmt::format("must be numbers above 0, at least one and {} in all settings", max_bounds));
    std::sort(buckets.bounds.begin(), buckets.bounds.end());
    buckets.bounds.erase(std::unique(buckets.bounds.begin(), buckets.bounds.end()), buckets.bounds.end());
    out.histogram_buckets.push_back(std::move(buckets));
    if (!scope.ok()) return;
  }
}

void decode_stats(const Message& message, Scope& scope, StatsConfig& out) {
  if (!message.has_stats_config()) return;
  const Scope::Field in(scope, "stats_config");
  const auto& config = message.stats_config();
  decode_stats_tags(config, scope, out);
  if (config.has_stats_matcher()) decode_stats_matcher(config.stats_matcher(), scope, out);
  decode_buckets(config, scope, out);
}

/// Envoy's application_log_config: a pattern, or an object whose values are patterns.
void decode_log_format(const Message& message, Scope& scope, Bootstrap& out) {
  if (!message.application_log_config().has_log_format()) return;
  const Scope::Field in(scope, "application_log_config.log_format");
  const auto& format = message.application_log_config().log_format();
  if (!format.has_json_format()) {
    out.log_pattern = format.text_format();
    return;
  }
  std::map<std::string, std::string> members;  // in order, so that lines look alike
  for (const auto& [key, value] : format.json_format().fields()) {
    if (value.kind_case() != google::protobuf::Value::kStringValue)
      scope.fail("json_format", fmt::format("«{}» is no text", printable(key)));
    if (value.string_value().find("%v") != std::string::npos)
      scope.fail("json_format", fmt::format("«{}»: %v would break the JSON, write %j", printable(key)));
    members.emplace(key, value.string_value());
  }
  google::protobuf::Value text;
  for (const auto& [key, value] : members) {
    out.log_pattern += out.log_pattern.empty() ? "{" : ",";
    for (const std::string* part : {&key, &value}) {
      text.set_string_value(*part);
      out.log_pattern += to_json(text, {.pretty = false});
      if (part == &key) out.log_pattern += ":";
    }
  }
  out.log_pattern += "}";
}

void decode_overload(const Message& message, Scope& scope, Bootstrap& out) {
  using envoy::extensions::resource_monitors::downstream_connections::v3::DownstreamConnectionsConfig;
  if (const std::string* limit = out.runtime("overload.global_downstream_max_connections"))
    if (const auto number = parse_uint(*limit)) out.max_downstream_connections = *number;
  for (int i = 0; i < message.overload_manager().resource_monitors_size(); ++i) {
    const Scope::Field in(scope, "overload_manager.resource_monitors", static_cast<std::size_t>(i));
    auto config = unpack(message.overload_manager().resource_monitors(i).typed_config());
    const auto* limit = config ? dynamic_cast<const DownstreamConnectionsConfig*>(config->get()) : nullptr;
    if (!limit) {
      scope.fail(
          fmt::format("«{}» is not supported", printable(message.overload_manager().resource_monitors(i).name())));
    } else if (limit->max_active_downstream_connections() <= 0) {
      scope.fail("max_active_downstream_connections", "must be above 0");
    } else {
      out.max_downstream_connections = static_cast<std::uint64_t>(limit->max_active_downstream_connections());
    }
  }
}

}  // namespace

const std::string* Bootstrap::runtime(std::string_view key) const {
  for (auto layer = runtime_layers.rbegin(); layer != runtime_layers.rend(); ++layer)
    if (const auto it = layer->values.find(key); it != layer->values.end()) return &it->second;
  return nullptr;
}

Decoded<Bootstrap> parse_bootstrap(const BootstrapText& text, const CommandLine& options) {
  Bootstrap out;
  Message message;
  if (!text.file.empty() || text.override_yaml.empty())
    if (std::string problem = parse_text(text.file, text.file_name, options, message, out.warnings); !problem.empty())
      return DecodeError{problem};
  if (!text.override_yaml.empty()) {
    Message more;
    if (std::string problem = parse_text(text.override_yaml, "--config-yaml", options, more, out.warnings);
        !problem.empty())
      return DecodeError{problem};
    message.MergeFrom(more);
  }

  Scope scope("bootstrap");
  check_fields(message, scope, &out.warnings);
  complete_node(options, *message.mutable_node());
  out.node = decode_node(message.node(), scope);
  decode_runtime(message, scope, out);
  set_regex_max_program_size(out.regex_max_program_size);
  set_reject_path_with_fragment(out.reject_path_with_fragment);
  decode_admin(message, scope, out);
  decode_dynamic_resources(message, scope, out);
  decode_stats(message, scope, out.stats);
  decode_log_format(message, scope, out);
  decode_overload(message, scope, out);
  out.serialized = stable_bytes(message);
  if (!scope.ok()) return DecodeError{scope.problem()};
  return out;
}

Decoded<Bootstrap> load_bootstrap(const CommandLine& options) {
  BootstrapText text{options.config_path, {}, options.config_yaml};
  if (!options.config_path.empty()) {
    auto bytes = read_small_file(options.config_path, max_file);
    if (!bytes) return bytes.error();
    text.file = *std::move(bytes);
    if (text.file.empty()) return DecodeError{options.config_path + ": is empty"};
  }
  return parse_bootstrap(text, options);
}

}  // namespace clew
