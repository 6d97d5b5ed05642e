#include "config/xds/field_table_sections.h"

namespace clew {

namespace {

using enum Support;

constexpr FieldRow cluster[] = {
    {"name alt_stat_name eds_cluster_config connect_timeout load_assignment max_requests_per_connection "
     "circuit_breakers "
     "typed_extension_protocol_options common_http_protocol_options http_protocol_options http2_protocol_options "
     "upstream_http_protocol_options dns_refresh_rate respect_dns_ttl outlier_detection upstream_bind_config "
     "ring_hash_lb_config "
     "maglev_lb_config original_dst_lb_config least_request_lb_config round_robin_lb_config common_lb_config "
     "transport_socket "
     "transport_socket_matches metadata upstream_connection_options filters"},
    {"type", honoured, {}, "STATIC STRICT_DNS LOGICAL_DNS EDS ORIGINAL_DST"},
    {"lb_policy", honoured, {}, "ROUND_ROBIN LEAST_REQUEST RANDOM RING_HASH MAGLEV CLUSTER_PROVIDED"},
    {"dns_lookup_family", honoured, {}, "AUTO V4_ONLY V6_ONLY V4_PREFERRED ALL"},
    {"protocol_selection", honoured, {}, "USE_CONFIGURED_PROTOCOL USE_DOWNSTREAM_PROTOCOL"},
    {"cleanup_interval", harmless, "endpoints of ORIGINAL_DST clusters are not kept beyond their connections"},
    {"per_connection_buffer_limit_bytes", harmless, "buffers have bounds of their own"},
    {"per_connection_buffer_high_watermark_timeout", refused},
    {"dns_jitter dns_failure_refresh_rate", harmless, "look-ups are spread and retried with a back-off of our own"},
    {"typed_dns_resolver_config dns_resolution_config dns_resolvers use_tcp_for_dns_lookups", harmless,
     "names are resolved by c-ares with the system's servers"},
    {"wait_for_warm_on_init", harmless, "readiness waits for every cluster"},
    {"track_timeout_budgets track_cluster_stats lrs_report_endpoint_metrics stats_matcher", harmless,
     "statistics that are not made"},
    {"close_connections_on_host_health_failure ignore_health_on_host_removal", harmless,
     "there are no active health checks"},
    {"preconnect_policy queuing_policies", harmless, "connections are opened when they are needed"},
    {"health_checks", refused, "active health checks are not done"},
    {"lb_subset_config", refused, "endpoints are not divided into subsets by metadata"},
    {"load_balancing_policy", refused, "load balancing is configured by lb_policy"},
    {"cluster_type", refused, "clusters are STATIC, STRICT_DNS, LOGICAL_DNS, EDS or ORIGINAL_DST"},
    {"transport_socket_matcher", refused, "transport sockets are chosen by transport_socket_matches"},
    {"upstream_config", refused, "connections go to endpoints directly"},
    {"connection_pool_per_downstream_connection", refused, "connections are pooled for all clients"},
    {"lrs_server", refused, "load is not reported"},
};
constexpr FieldRow eds[] = {{"eds_config service_name"}};
constexpr FieldRow common_lb[] = {
    {"healthy_panic_threshold locality_weighted_lb_config"},
    {"update_merge_window", harmless, "an update of endpoints is taken at once"},
    {"ignore_new_hosts_until_first_hc", harmless, "there are no active health checks"},
    {"zone_aware_lb_config", refused, "zone aware routing is not done"},
    {"close_connections_on_host_set_change", refused},
    {"consistent_hashing_lb_config", refused, "hosts are hashed by address, without a bound on load"},
    {"override_host_status", refused, "sessions are not bound to hosts"},
};
constexpr FieldRow empty[] = {{"*", refused}};
constexpr FieldRow slow_start[] = {{"slow_start_config", refused, "new endpoints get their full share at once"}};
constexpr FieldRow least_request[] = {
    {"choice_count"},
    {"active_request_bias", refused},
    {"slow_start_config", refused, "new endpoints get their full share at once"},
};
constexpr FieldRow ring_hash[] = {{"minimum_ring_size maximum_ring_size"}, {"hash_function", honoured, {}, "XX_HASH"}};
constexpr FieldRow maglev[] = {{"table_size"}};
constexpr FieldRow original_dst[] = {
    {"upstream_port_override"},
    {"use_http_header http_header_name metadata_key", refused, "the destination is the one that the client dialled"},
};
constexpr FieldRow socket_match[] = {{"name match transport_socket"}};
constexpr FieldRow filter[] = {{"name typed_config"},
                               {"config_discovery", refused, "extensions are configured in place"}};
constexpr FieldRow circuit_breakers[] = {
    {"thresholds"}, {"per_host_thresholds", refused, "limits are the cluster's, not an endpoint's"}};
constexpr FieldRow thresholds[] = {
    {"priority", honoured, {}, "DEFAULT HIGH"},
    {"max_connections max_pending_requests max_requests max_retries retry_budget"},
    {"track_remaining", honoured, "what is not limited is not counted: its remaining_* stay at the limit"},
    {"max_connection_pools", refused},
};
constexpr FieldRow retry_budget[] = {{"budget_percent min_retry_concurrency"},
                                     {"budget_interval", harmless, "the budget is of requests that are active"}};
constexpr FieldRow outlier[] = {
    {"consecutive_5xx enforcing_consecutive_5xx consecutive_gateway_failure enforcing_consecutive_gateway_failure "
     "consecutive_local_origin_failure enforcing_consecutive_local_origin_failure split_external_local_origin_errors "
     "interval "
     "base_ejection_time max_ejection_time max_ejection_percent"},
    {"enforcing_success_rate enforcing_local_origin_success_rate enforcing_failure_percentage "
     "enforcing_failure_percentage_local_origin",
     honoured, "endpoints are judged by consecutive failures alone", "0"},
    {"success_rate_minimum_hosts success_rate_request_volume success_rate_stdev_factor failure_percentage_threshold "
     "failure_percentage_minimum_hosts failure_percentage_request_volume",
     harmless, "endpoints are judged by consecutive failures alone"},
    {"max_ejection_time_jitter", harmless, "ejections end without jitter"},
    {"successful_active_health_check_uneject_host", harmless, "there are no active health checks"},
    {"monitors always_eject_one_host detect_degraded_hosts", refused},
};
constexpr FieldRow connection_options[] = {
    {"tcp_keepalive"},
    {"set_local_interface_name_on_upstream_connections", harmless, "a name that nothing reads"},
    {"happy_eyeballs_config", harmless, "addresses of an endpoint are tried as RFC 8305 says"},
};
constexpr FieldRow tcp_keepalive[] = {{"keepalive_probes keepalive_time keepalive_interval"}};
constexpr FieldRow bind[] = {
    {"source_address extra_source_addresses"},
    {"freebind", honoured, {}, "false"},
    {"socket_options additional_source_addresses local_address_selector", refused},
    {"validate_network_namespaces", harmless, "sockets are opened where the process is"},
};
constexpr FieldRow extra_source[] = {{"address"}, {"socket_options", refused}};
constexpr FieldRow http_options[] = {
    {"common_http_protocol_options upstream_http_protocol_options explicit_http_config use_downstream_protocol_config"},
    {"auto_config", refused, "the protocol is not negotiated by ALPN"},
    {"http_filters", refused, "there are no filters upstream of the router"},
    {"header_validation_config", refused},
    {"outlier_detection", refused, "endpoints are judged by 5xx"},
    {"request_mirror_policies hash_policy retry_policy", refused, "these belong to routes"},
};
constexpr FieldRow explicit_http[] = {{"http_protocol_options http2_protocol_options"},
                                      {"http3_protocol_options", refused, "there is no HTTP/3"}};
constexpr FieldRow load_assignment[] = {{"cluster_name endpoints policy"},
                                        {"named_endpoints", refused, "endpoints are given in place"}};
constexpr FieldRow locality_endpoints[] = {
    {"locality lb_endpoints load_balancing_weight priority"},
    {"metadata proximity", harmless, "nothing reads them"},
    {"load_balancer_endpoints leds_cluster_locality_config", refused, "endpoints are given in place"},
};
constexpr FieldRow lb_endpoint[] = {{"endpoint health_status metadata load_balancing_weight"},
                                    {"endpoint_name", refused, "endpoints are given in place"}};
constexpr FieldRow endpoint[] = {
    {"address hostname additional_addresses"},
    {"health_check_config", harmless, "there are no active health checks"},
    {"observability_name", harmless, "endpoints are shown by address"},
};
constexpr FieldRow additional_address[] = {{"address"}};
constexpr FieldRow policy[] = {
    {"overprovisioning_factor"},
    {"endpoint_stale_after", harmless, "endpoints stay until the control plane replaces them"},
    {"drop_overloads", refused},
    {"weighted_priority_health", refused},
};

constexpr MessageRows messages[] = {
    {"envoy.config.cluster.v3.Cluster", cluster},
    {"envoy.config.cluster.v3.Cluster.EdsClusterConfig", eds},
    {"envoy.config.cluster.v3.Cluster.CommonLbConfig", common_lb},
    {"envoy.config.cluster.v3.Cluster.CommonLbConfig.LocalityWeightedLbConfig", empty},
    {"envoy.config.cluster.v3.Cluster.RoundRobinLbConfig", slow_start},
    {"envoy.config.cluster.v3.Cluster.LeastRequestLbConfig", least_request},
    {"envoy.config.cluster.v3.Cluster.RingHashLbConfig", ring_hash},
    {"envoy.config.cluster.v3.Cluster.MaglevLbConfig", maglev},
    {"envoy.config.cluster.v3.Cluster.OriginalDstLbConfig", original_dst},
    {"envoy.config.cluster.v3.Cluster.TransportSocketMatch", socket_match},
    {"envoy.config.cluster.v3.Filter", filter},
    {"envoy.config.cluster.v3.CircuitBreakers", circuit_breakers},
    {"envoy.config.cluster.v3.CircuitBreakers.Thresholds", thresholds},
    {"envoy.config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget", retry_budget},
    {"envoy.config.cluster.v3.OutlierDetection", outlier},
    {"envoy.config.cluster.v3.UpstreamConnectionOptions", connection_options},
    {"envoy.config.core.v3.TcpKeepalive", tcp_keepalive},
    {"envoy.config.core.v3.BindConfig", bind},
    {"envoy.config.core.v3.ExtraSourceAddress", extra_source},
    {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions", http_options, "envoy.upstream_options",
     "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"},
    {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig", explicit_http},
    {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions.UseDownstreamHttpConfig", explicit_http},
    {"envoy.config.endpoint.v3.ClusterLoadAssignment", load_assignment},
    {"envoy.config.endpoint.v3.ClusterLoadAssignment.Policy", policy},
    {"envoy.config.endpoint.v3.LocalityLbEndpoints", locality_endpoints},
    {"envoy.config.endpoint.v3.LbEndpoint", lb_endpoint},
    {"envoy.config.endpoint.v3.Endpoint", endpoint},
    {"envoy.config.endpoint.v3.Endpoint.AdditionalAddress", additional_address},
};

}  // namespace

TableSection cluster_fields() { return {"Clusters and endpoints", messages}; }

}  // namespace clew
