#include "config/xds/decode.h"
#include "config/xds/decode_common.h"
#include "config/xds/decode_endpoints.h"
#include "config/xds/decode_http_options.h"
#include "config/xds/decode_tls.h"
#include "config/xds/field_table.h"
#include "config/xds/json.h"

#include "contrib/envoy/extensions/filters/network/metadata_exchange/v3/metadata_exchange.pb.h"
#include "envoy/config/cluster/v3/cluster.pb.h"

#include <fmt/format.h>

#include <algorithm>

namespace clew {

namespace core = envoy::config::core::v3;
namespace cluster = envoy::config::cluster::v3;
using Message = cluster::Cluster;

namespace {

constexpr std::uint64_t max_ring = 8 * 1024 * 1024;
constexpr std::uint64_t max_maglev = 5'000'011;

Duration decode_field(const google::protobuf::Duration& message, std::string_view field, Scope& scope) {
  const Scope::Field in(scope, field);
  return decode_duration(message, scope);
}

bool is_prime(std::uint64_t number) {
  if (number < 2) return false;
  for (std::uint64_t i = 2; i * i <= number; ++i)
    if (number % i == 0) return false;
  return true;
}

Cluster::Type decode_type(const Message& message, Scope& scope) {
  switch (message.type()) {
    case Message::STATIC: return Cluster::Type::static_;
    case Message::STRICT_DNS: return Cluster::Type::strict_dns;
    case Message::LOGICAL_DNS: return Cluster::Type::logical_dns;
    case Message::EDS: return Cluster::Type::eds;
    case Message::ORIGINAL_DST: return Cluster::Type::original_dst;
    default: scope.fail("type", "is not supported"); return Cluster::Type::static_;
  }
}

Cluster::LbPolicy decode_policy(const Message& message, Scope& scope) {
  switch (message.lb_policy()) {
    case Message::ROUND_ROBIN: return Cluster::LbPolicy::round_robin;
    case Message::LEAST_REQUEST: return Cluster::LbPolicy::least_request;
    case Message::RANDOM: return Cluster::LbPolicy::random;
    case Message::RING_HASH: return Cluster::LbPolicy::ring_hash;
    case Message::MAGLEV: return Cluster::LbPolicy::maglev;
    case Message::CLUSTER_PROVIDED: return Cluster::LbPolicy::cluster_provided;
    default: scope.fail("lb_policy", "is not supported"); return Cluster::LbPolicy::round_robin;
  }
}

void decode_load_balancing(const Message& message, Scope& scope, Cluster& out) {
  out.lb_policy = decode_policy(message, scope);
  const bool original = out.type == Cluster::Type::original_dst;
  if (original != (out.lb_policy == Cluster::LbPolicy::cluster_provided))
    scope.fail("lb_policy", "CLUSTER_PROVIDED and type ORIGINAL_DST need each other");
  if (message.least_request_lb_config().has_choice_count()) {
    out.least_request_choice_count = message.least_request_lb_config().choice_count().value();
  }
  if (const auto& ring = message.ring_hash_lb_config(); message.has_ring_hash_lb_config()) {
    if (ring.has_minimum_ring_size()) out.ring_min_size = ring.minimum_ring_size().value();
    if (ring.has_maximum_ring_size()) out.ring_max_size = ring.maximum_ring_size().value();
    if (out.ring_min_size > out.ring_max_size || out.ring_max_size > max_ring)
      scope.fail("ring_hash_lb_config",
                 fmt::format("a ring has at least minimum_ring_size and at most {} entries", max_ring));
  }
  if (message.maglev_lb_config().has_table_size()) {
    out.maglev_table_size = message.maglev_lb_config().table_size().value();
    if (out.maglev_table_size > max_maglev || !is_prime(out.maglev_table_size))
      scope.fail("maglev_lb_config.table_size", fmt::format("must be a prime number up to {}", max_maglev));
  }
  const auto& common = message.common_lb_config();
  if (common.has_healthy_panic_threshold()) {
    const Scope::Field in(scope, "common_lb_config.healthy_panic_threshold");
    out.healthy_panic_threshold = decode_percent(common.healthy_panic_threshold(), scope);
  }
  out.locality_weighted = common.has_locality_weighted_lb_config();
  if (message.original_dst_lb_config().has_upstream_port_override()) {
    const std::uint32_t port = message.original_dst_lb_config().upstream_port_override().value();
    if (port > 65535) scope.fail("original_dst_lb_config.upstream_port_override", fmt::format("{} is no port", port));
    out.original_dst_port_override = static_cast<std::uint16_t>(port);
  }
}

void decode_circuit_breakers(const Message& message, Scope& scope, Cluster& cluster) {
  for (int i = 0; i < message.circuit_breakers().thresholds_size(); ++i) {
    const Scope::Field in(scope, "circuit_breakers.thresholds", static_cast<std::size_t>(i));
    const auto& limits = message.circuit_breakers().thresholds(i);
    auto& out = cluster.circuit_breakers[limits.priority() == core::HIGH ? Priority::high : Priority::standard];
    out.track_remaining = limits.track_remaining();
    if (limits.has_max_connections()) out.max_connections = limits.max_connections().value();
    if (limits.has_max_pending_requests()) out.max_pending_requests = limits.max_pending_requests().value();
    if (limits.has_max_requests()) out.max_requests = limits.max_requests().value();
    if (limits.has_max_retries()) out.max_retries = limits.max_retries().value();
    if (!limits.has_retry_budget()) continue;
    const Scope::Field budget_in(scope, "retry_budget");
    CircuitBreakerThresholds::RetryBudget budget;
    if (limits.retry_budget().has_budget_percent())
      budget.percent = decode_percent(limits.retry_budget().budget_percent(), scope);
    if (limits.retry_budget().has_min_retry_concurrency())
      budget.min_concurrency = limits.retry_budget().min_retry_concurrency().value();
    out.retry_budget = budget;
  }
}

OutlierDetection decode_outlier(const cluster::OutlierDetection& message, Scope& scope) {
  const Scope::Field in(scope, "outlier_detection");
  OutlierDetection out;
  const auto number = [](bool set, const google::protobuf::UInt32Value& value, std::uint32_t& into) {
    if (set) into = value.value();
  };
  number(message.has_consecutive_5xx(), message.consecutive_5xx(), out.consecutive_5xx);
  number(message.has_consecutive_gateway_failure(), message.consecutive_gateway_failure(),
         out.consecutive_gateway_failure);
  number(message.has_consecutive_local_origin_failure(), message.consecutive_local_origin_failure(),
         out.consecutive_local_origin_failure);
  number(message.has_enforcing_consecutive_5xx(), message.enforcing_consecutive_5xx(), out.enforcing_consecutive_5xx);
  number(message.has_enforcing_consecutive_gateway_failure(), message.enforcing_consecutive_gateway_failure(),
         out.enforcing_consecutive_gateway_failure);
  number(message.has_enforcing_consecutive_local_origin_failure(), message.enforcing_consecutive_local_origin_failure(),
         out.enforcing_consecutive_local_origin_failure);
  number(message.has_max_ejection_percent(), message.max_ejection_percent(), out.max_ejection_percent);
  out.split_external_local_origin_errors = message.split_external_local_origin_errors();
  if (message.has_interval()) out.interval = decode_field(message.interval(), "interval", scope);
  if (message.has_base_ejection_time())
    out.base_ejection_time = decode_field(message.base_ejection_time(), "base_ejection_time", scope);
  if (message.has_max_ejection_time())
    out.max_ejection_time = decode_field(message.max_ejection_time(), "max_ejection_time", scope);
  else
    out.max_ejection_time = std::max(out.max_ejection_time, out.base_ejection_time);
  if (out.max_ejection_time < out.base_ejection_time)
    scope.fail("max_ejection_time", "must be at least base_ejection_time");
  return out;
}

TcpKeepalive decode_keepalive(const core::TcpKeepalive& message) {
  // What the kernel takes at most (tcp(7)); without a value the kernel's own.
  const auto value = [](bool set, const google::protobuf::UInt32Value& v, std::uint32_t most) {
    return set ? std::optional(std::clamp<std::uint32_t>(v.value(), 1, most)) : std::nullopt;
  };
  return {value(message.has_keepalive_probes(), message.keepalive_probes(), 127),
          value(message.has_keepalive_time(), message.keepalive_time(), 32'767),
          value(message.has_keepalive_interval(), message.keepalive_interval(), 32'767)};
}

void decode_bind(const core::BindConfig& message, Scope& scope, Cluster& out) {
  const Scope::Field in(scope, "upstream_bind_config");
  const auto add = [&](const core::SocketAddress& address) {
    if (address.port_value() != 0) scope.fail("port_value", "must be 0: the kernel chooses");
    out.source_addresses.push_back(decode_socket_address(address, scope).ip());
  };
  if (message.has_source_address()) {
    const Scope::Field at(scope, "source_address");
    add(message.source_address());
  }
  for (int i = 0; i < message.extra_source_addresses_size(); ++i) {
    const Scope::Field at(scope, "extra_source_addresses", static_cast<std::size_t>(i));
    add(message.extra_source_addresses(i).address());
  }
}

void decode_transport_sockets(const Message& message, AutoSni automatic, DecodeContext& context, Scope& scope,
                              Cluster& out) {
  for (int i = 0; i < message.transport_socket_matches_size(); ++i) {
    const Scope::Field in(scope, "transport_socket_matches", static_cast<std::size_t>(i));
    const auto& entry = message.transport_socket_matches(i);
    TransportSocketMatch match;
    {
      const Scope::Field socket(scope, "transport_socket");
      match = decode_upstream_socket(entry.transport_socket(), automatic, context, scope);
    }
    match.name = entry.name();
    for (const auto& [key, value] : entry.match().fields()) {
      if (value.kind_case() != google::protobuf::Value::kStringValue)
        scope.fail("match", fmt::format("«{}» is no text", printable(key)));
      match.match.emplace_back(key, value.string_value());
    }
    out.transport_sockets.push_back(std::move(match));
  }
  if (!message.has_transport_socket()) return;
  const Scope::Field in(scope, "transport_socket");
  out.transport_sockets.push_back(decode_upstream_socket(message.transport_socket(), automatic, context, scope));
}

void decode_filters(const Message& message, Scope& scope, Cluster& out) {
  for (int i = 0; i < message.filters_size(); ++i) {
    const Scope::Field in(scope, "filters", static_cast<std::size_t>(i));
    auto config = unpack(message.filters(i).typed_config());
    if (config && dynamic_cast<const envoy::tcp::metadataexchange::config::MetadataExchange*>(config->get()))
      out.tcp_metadata_exchange = true;
    else
      scope.fail(fmt::format("«{}» is not supported upstream", printable(message.filters(i).name())));
  }
}

void decode_istio_metadata(const core::Metadata& metadata, Cluster& out) {
  out.istio_config = metadata_string(metadata, "istio", "config");
  out.alpn_override = metadata_string(metadata, "istio", "alpn_override") != "false";
  const auto space = metadata.filter_metadata().find("istio");
  if (space == metadata.filter_metadata().end()) return;
  const auto& fields = space->second.fields();
  const auto flag = [&](const char* key) {
    const auto it = fields.find(key);
    return it != fields.end() && (it->second.bool_value() || it->second.string_value() == "true");
  };
  out.disable_metadata_exchange = flag("disable_mx");
  out.external = flag("external");
  const auto services = fields.find("services");
  if (services == fields.end() || services->second.list_value().values().empty()) return;
  const auto& service = services->second.list_value().values(0).struct_value().fields();
  const auto text = [&](const char* key) {
    const auto it = service.find(key);
    return it == service.end() ? std::string() : it->second.string_value();
  };
  out.istio_service_host = text("host");
  out.istio_service_name = text("name");
  out.istio_service_namespace = text("namespace");
}

void decode_dns(const Message& message, Scope& scope, Cluster& out) {
  switch (message.dns_lookup_family()) {
    case Message::V4_ONLY: out.dns_family = Cluster::DnsFamily::v4_only; break;
    case Message::V6_ONLY: out.dns_family = Cluster::DnsFamily::v6_only; break;
    case Message::V4_PREFERRED: out.dns_family = Cluster::DnsFamily::v4_preferred; break;
    case Message::ALL: out.dns_family = Cluster::DnsFamily::all; break;
    default: out.dns_family = Cluster::DnsFamily::automatic;
  }
  if (message.has_dns_refresh_rate())
    out.dns_refresh_rate = decode_field(message.dns_refresh_rate(), "dns_refresh_rate", scope);
  out.respect_dns_ttl = message.respect_dns_ttl();
}

void decode_endpoints_of(const Message& message, DecodeContext& context, Scope& scope, Cluster& out) {
  if (out.type == Cluster::Type::eds) {
    const Scope::Field in(scope, "eds_cluster_config");
    out.eds_service_name = message.eds_cluster_config().service_name();
    const Scope::Field config(scope, "eds_config");
    require_ads(message.eds_cluster_config().eds_config(), scope);
    context.needs.eds_timeout = decode_fetch_timeout(message.eds_cluster_config().eds_config(), scope);
    if (message.has_load_assignment()) scope.fail("endpoints of an EDS cluster come by EDS, not in load_assignment");
    return;
  }
  if (message.has_eds_cluster_config()) scope.fail("eds_cluster_config", "is for clusters of type EDS");
  const bool dns = out.type == Cluster::Type::strict_dns || out.type == Cluster::Type::logical_dns;
  const Scope::Field in(scope, "load_assignment");
  if (out.type == Cluster::Type::original_dst) {
    if (message.has_load_assignment())
      scope.fail("the endpoints of an ORIGINAL_DST cluster are those that clients dial");
    return;
  }
  out.inline_endpoints = decode_load_assignment(message.load_assignment(), dns, scope);
  if (out.type != Cluster::Type::logical_dns) return;
  if (out.inline_endpoints->localities.size() != 1 || out.inline_endpoints->localities[0].endpoints.size() != 1)
    scope.fail("a LOGICAL_DNS cluster has exactly one endpoint");
}

}  // namespace

Decoded<std::shared_ptr<const Cluster>> decode_cluster(const Message& message, DecodeContext& context) {
  Scope scope("cluster " + printable(message.name()));
  check_fields(message, scope);
  const Scope::Object object(scope, metadata_object(message.metadata()));
  auto out = std::make_shared<Cluster>();
  out->name = message.name();
  if (message.name().empty()) scope.fail("name", "is empty");
  out->alt_stat_name = message.alt_stat_name();
  out->type = decode_type(message, scope);
  if (message.has_connect_timeout())
    out->connect_timeout = decode_field(message.connect_timeout(), "connect_timeout", scope);
  decode_load_balancing(message, scope, *out);
  decode_circuit_breakers(message, scope, *out);
  if (message.has_outlier_detection()) out->outlier_detection = decode_outlier(message.outlier_detection(), scope);
  if (message.upstream_connection_options().has_tcp_keepalive())
    out->tcp_keepalive = decode_keepalive(message.upstream_connection_options().tcp_keepalive());
  decode_bind(message.upstream_bind_config(), scope, *out);
  AutoSni automatic;
  out->http = decode_upstream_http(message, automatic, scope);
  decode_transport_sockets(message, automatic, context, scope, *out);
  decode_filters(message, scope, *out);
  decode_dns(message, scope, *out);
  decode_endpoints_of(message, context, scope, *out);
  decode_istio_metadata(message.metadata(), *out);
  out->added_via_api = context.added_via_api;
  if (!scope.ok()) return DecodeError{scope.problem()};
  return std::shared_ptr<const Cluster>(std::move(out));
}

}  // namespace clew
