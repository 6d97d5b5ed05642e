#include "test/unit/config/xds/print.h"

#include "test/unit/config/xds/fakes.h"

#include <fmt/format.h>

#include <algorithm>

namespace clew::test {

namespace {

/// Writes «name=value» pairs; every overload of put() writes one value.
class Printer {
 public:
  std::string text;

  template <class... Args>
  void all(const Args&... args) {
    text += '(';
    (put(args), ...);
    text += ')';
  }

  void put(bool v) { text += v ? "true " : "false "; }
  void put(double v) { text += fmt::format("{} ", v); }
  template <class T>
    requires(std::is_integral_v<T> && !std::is_same_v<T, bool>)
  void put(T v) {
    text += fmt::format("{} ", v);
  }
  template <class T>
    requires std::is_enum_v<T>
  void put(T v) {
    text += fmt::format("{} ", static_cast<std::int64_t>(v));
  }
  void put(std::string_view v) { text += fmt::format("\"{}\" ", v); }
  void put(const std::string& v) { put(std::string_view(v)); }
  void put(Duration v) { text += fmt::format("{}ns ", v.count()); }
  void put(std::nullptr_t) { text += "null "; }
  void put(const IpAddress& v) { put(v.to_string()); }
  void put(const Address& v) { put(v.to_string()); }
  void put(const Cidr& v) { all(v.base, v.prefix); }
  void put(const Locality& v) { all(v.region, v.zone, v.sub_zone); }
  template <class A, class B>
  void put(const std::pair<A, B>& v) {
    all(v.first, v.second);
  }
  template <class T>
  void put(const std::optional<T>& v) {
    if (v)
      put(*v);
    else
      text += "- ";
  }
  template <class T>
  void put(const std::vector<T>& v) {
    text += '[';
    for (const auto& item : v) put(item);
    text += "] ";
  }
  template <class T, std::size_t N>
  void put(const std::array<T, N>&) {}  // hashes: equal content shows elsewhere
  template <class T>
  void put(const std::shared_ptr<const T>& v) {
    if (v)
      put(*v);
    else
      text += "null ";
  }
  template <class... T>
  void put(const std::variant<T...>& v) {
    text += fmt::format("#{} ", v.index());
    std::visit([&](const auto& inner) { put(inner); }, v);
  }
  template <class K, class V, class C>
  void put(const std::map<K, V, C>& v) {
    for (const auto& entry : v) put(std::pair<K, V>(entry));
  }

  // matchers and formats
  void put(const Regex& v) { put(v.pattern()); }
  void put(const StringMatcher& v) { all(v.kind, v.ignore_case, v.text, v.regex); }
  void put(const HeaderMatcher::Present& v) { all(v.present); }
  void put(const HeaderMatcher::Range& v) { all(v.begin, v.end); }
  void put(const HeaderMatcher& v) { all(v.name, v.rule, v.invert, v.treat_missing_as_empty); }
  void put(const QueryParameterMatcher& v) { all(v.name, v.value); }
  void put(const FormatItem& v) { all(v.op, v.text, v.alternative, v.path, v.max_length); }
  void put(const JsonFormat::Node& v) { put(v.value); }
  void put(const JsonFormat::Member& v) { all(v.key, v.node); }
  void put(const JsonFormat& v) { all(v.root, v.omit_empty_values); }

  // filters
  void put(const FilterFactory& v) { put(v.name()); }
  void put(const NetworkFilterFactory& v) { put(static_cast<const FakeNetworkFilter&>(v).config); }
  void put(const FilterRouteConfig& v) { put(static_cast<const FakeRouteConfig&>(v).config); }
  void put(const StringMap<std::shared_ptr<const FilterRouteConfig>>& v) {
    for (const auto& [name, config] : std::map(v.begin(), v.end())) all(name, config);
  }

  // TLS
  void put(const SanMatcher& v) { all(v.type, v.matcher); }
  void put(const TlsValidation& v) {
    all(v.ca_secret, v.inline_ca, v.subject_alt_names, v.certificate_hashes, v.spki_hashes, v.crl, v.accept_untrusted);
  }
  void put(const TlsParams& v) {
    all(v.min_version, v.max_version, v.cipher_suites, v.ecdh_curves, v.alpn, v.certificate_secrets,
        v.inline_certificates, v.validation, v.require_client_certificate, v.sni, v.auto_sni, v.auto_san_validation,
        v.max_session_keys);
  }
  void put(const Secret& v) { all(v.name, v.certificate_chain, v.private_key, v.trusted_ca, v.crl); }

  // clusters
  void put(const Endpoint& v) {
    all(v.address, v.additional_addresses, v.hostname, v.health, v.weight, v.transport_match, v.workload);
  }
  void put(const LocalityEndpoints& v) { all(v.locality, v.weight, v.priority, v.endpoints); }
  void put(const LoadAssignment& v) { all(v.localities, v.overprovisioning_factor); }
  void put(const CircuitBreakerThresholds::RetryBudget& v) { all(v.percent, v.min_concurrency); }
  void put(const CircuitBreakerThresholds& v) {
    all(v.max_connections, v.max_pending_requests, v.max_requests, v.max_retries, v.retry_budget, v.track_remaining);
  }
  void put(const PerPriority<CircuitBreakerThresholds>& v) { all(v[Priority::standard], v[Priority::high]); }
  void put(const OutlierDetection& v) {
    all(v.consecutive_5xx, v.enforcing_consecutive_5xx, v.consecutive_gateway_failure,
        v.enforcing_consecutive_gateway_failure, v.consecutive_local_origin_failure,
        v.enforcing_consecutive_local_origin_failure, v.split_external_local_origin_errors, v.interval,
        v.base_ejection_time, v.max_ejection_time, v.max_ejection_percent);
  }
  void put(const TcpKeepalive& v) { all(v.probes, v.time_s, v.interval_s); }
  void put(const UpstreamHttpOptions& v) {
    all(v.protocol, v.preserve_header_case, v.max_concurrent_streams, v.initial_stream_window,
        v.initial_connection_window, v.idle_timeout, v.max_connection_duration, v.max_requests_per_connection,
        v.keepalive_interval, v.keepalive_timeout, v.accept_http_10);
  }
  void put(const ProxyProtocol& v) { all(v.version, v.extensions); }
  void put(const TransportSocketMatch& v) { all(v.name, v.match, v.tls, v.proxy_protocol); }
  void put(const Cluster& v) {
    all(v.name, v.alt_stat_name, v.type, v.eds_service_name, v.lb_policy, v.least_request_choice_count, v.ring_min_size,
        v.ring_max_size, v.maglev_table_size, v.healthy_panic_threshold, v.locality_weighted, v.connect_timeout,
        v.circuit_breakers, v.outlier_detection, v.tcp_keepalive, v.source_addresses, v.http, v.transport_sockets,
        v.inline_endpoints, v.original_dst_port_override, v.dns_family, v.dns_refresh_rate, v.respect_dns_ttl,
        v.istio_service_host, v.istio_service_name, v.istio_service_namespace, v.istio_config, v.alpn_override,
        v.disable_metadata_exchange, v.external, v.tcp_metadata_exchange, v.added_via_api);
  }

  // routes
  void put(const HeaderToAdd& v) { all(v.name, v.value, v.action, v.keep_empty); }
  void put(const HeaderMutations& v) { all(v.request_add, v.response_add, v.request_remove, v.response_remove); }
  void put(const RetryPolicy& v) {
    all(v.on, v.num_retries, v.per_try_timeout, v.per_try_idle_timeout, v.retriable_status_codes, v.retriable_headers,
        v.base_interval, v.max_interval, v.previous_hosts, v.host_selection_attempts);
  }
  void put(const HashPolicy::Header& v) { all(v.name); }
  void put(const HashPolicy::Cookie& v) { all(v.name, v.ttl, v.path, v.attributes); }
  void put(const HashPolicy::SourceIp&) { all(); }
  void put(const HashPolicy::QueryParameter& v) { all(v.name); }
  void put(const HashPolicy& v) { all(v.source, v.terminal); }
  void put(const WeightedCluster& v) { all(v.cluster, v.weight, v.headers, v.host_rewrite); }
  void put(const ForwardAction& v) {
    all(v.clusters, v.total_weight, v.cluster_not_found_status, v.priority, v.timeout, v.idle_timeout,
        v.max_stream_duration, v.grpc_timeout_max, v.retry, v.prefix_rewrite, v.regex_rewrite, v.regex_substitution,
        v.host_rewrite, v.append_x_forwarded_host, v.hash, v.upgrades);
  }
  void put(const RedirectAction& v) {
    all(v.scheme, v.host, v.path, v.prefix_rewrite, v.https, v.port, v.status, v.strip_query);
  }
  void put(const DirectResponse& v) { all(v.status, v.body); }
  void put(const PathMatch& v) { all(v.kind, v.text, v.regex, v.case_sensitive); }
  void put(const Route& v) {
    all(v.name, v.path, v.headers, v.query, v.action, v.header_mutations, v.decorator_operation, v.istio_config,
        v.filter_config);
  }
  void put(const VirtualHost& v) {
    all(v.name, v.domains, v.routes, v.header_mutations, v.include_request_attempt_count, v.require_tls, v.retry,
        v.filter_config);
  }
  void put(const RouteTable& v) { all(v.name, v.hosts, v.header_mutations, v.ignore_port_in_host, v.filter_config); }

  // listeners
  void put(const AccessLogFilter::ResponseFlags& v) { all(v.any_of); }
  void put(const AccessLogFilter::StatusCode& v) { all(v.op, v.value); }
  void put(const AccessLogFilter::DurationMs& v) { all(v.compare); }
  void put(const AccessLogFilter::NotHealthCheck&) { all(); }
  void put(const AccessLogFilter::And& v) { all(v.all); }
  void put(const AccessLogFilter::Or& v) { all(v.any); }
  void put(const AccessLogFilter& v) { put(v.rule); }
  void put(const AccessLog& v) { all(v.path, v.format, v.filter); }
  void put(const HttpConnectionManager::Tracing& v) { all(v.client_sampling, v.random_sampling, v.overall_sampling); }
  void put(const HttpConnectionManager& v) {
    const auto& d = v.client_cert_details;
    all(v.stat_prefix, v.codec, v.inline_routes, v.rds_name, v.filters, v.server_name, v.server_header,
        v.use_remote_address, v.skip_xff_append, v.xff_num_trusted_hops, v.internal_cidrs, v.generate_request_id,
        v.preserve_external_request_id, v.always_set_request_id_in_response, v.forward_client_cert, d.subject, d.cert,
        d.chain, d.dns, d.uri, v.normalize_path, v.merge_slashes, v.escaped_slashes, v.strip_port,
        v.strip_trailing_host_dot, v.upgrades, v.proxy_100_continue, v.append_x_forwarded_port, v.via,
        v.suppress_envoy_headers);
    all(v.idle_timeout, v.max_connection_duration, v.max_stream_duration, v.stream_idle_timeout, v.request_timeout,
        v.request_headers_timeout, v.drain_timeout, v.max_requests_per_connection, v.max_headers_kb,
        v.max_headers_count, v.headers_with_underscores, v.accept_http_10, v.default_host_for_http_10,
        v.preserve_header_case, v.allow_absolute_url, v.max_concurrent_streams, v.initial_stream_window,
        v.initial_connection_window, v.access_logs, v.tracing);
  }
  void put(const TcpProxy::Target& v) { all(v.cluster, v.weight); }
  void put(const TcpProxy& v) {
    all(v.stat_prefix, v.clusters, v.idle_timeout, v.max_connection_duration, v.hash_source_ip, v.max_connect_attempts,
        v.access_logs);
  }
  void put(const FilterChainMatch& v) {
    all(v.destination_port, v.prefix_ranges, v.server_names, v.transport_protocol, v.application_protocols,
        v.source_prefix_ranges, v.source_ports);
  }
  void put(const FilterChain& v) {
    all(v.name, v.match, v.tls, v.transport_socket_connect_timeout, v.network_filters, v.terminal, v.content);
  }
  void put(const PortPredicate::Any&) { all(); }
  void put(const PortPredicate::Range& v) { all(v.begin, v.end); }
  void put(const PortPredicate::Or& v) { all(v.rules); }
  void put(const PortPredicate::And& v) { all(v.rules); }
  void put(const PortPredicate::Not& v) { all(v.rule); }
  void put(const PortPredicate& v) { put(v.rule); }
  void put(const ListenerFilter& v) { all(v.kind, v.disabled, v.proxy_protocol_optional, v.mark); }
  void put(const Listener& v) {
    all(v.name, v.address, v.additional_addresses, v.chains, v.default_chain, v.listener_filters,
        v.listener_filters_timeout, v.continue_on_listener_filters_timeout, v.bind_to_port, v.use_original_dst,
        v.transparent, v.ignore_global_connection_limit, v.direction, v.connection_buffer_limit, v.access_logs,
        v.istio_config, v.added_via_api);
  }

  // bootstrap
  void put(const StatsConfig::Tag& v) { all(v.name, v.regex, v.fixed_value); }
  void put(const StatsConfig::Buckets& v) { all(v.match, v.bounds); }
  void put(const StatsConfig& v) { all(v.tags, v.matching, v.patterns, v.histogram_buckets); }
  void put(const RuntimeLayer& v) { all(v.name, v.values); }
  void put(const Bootstrap::Ads& v) { all(v.cluster, v.delta); }
  void put(const Bootstrap& v) {
    all(v.node.id, v.node.serialized, v.admin_address, v.ads, v.stats, v.log_pattern, v.max_downstream_connections,
        v.runtime_layers, v.regex_max_program_size, v.reject_path_with_fragment);
  }
};

template <class T>
std::string printed(const T& value) {
  Printer out;
  out.put(value);
  return out.text;
}

}  // namespace

std::string print(const Cluster& value) { return printed(value); }
std::string print(const LoadAssignment& value) { return printed(value); }
std::string print(const Listener& value) { return printed(value); }
std::string print(const RouteTable& value) { return printed(value); }
std::string print(const Secret& value) { return printed(value); }
std::string print(const Bootstrap& value) { return printed(value); }

}  // namespace clew::test
