#include "config/xds/field_table_sections.h"

namespace clew {

namespace {

using enum Support;

constexpr std::string_view no_faults = "faults are not injected there";

constexpr FieldRow peer_metadata[] = {
    {"downstream_discovery upstream_discovery downstream_propagation upstream_propagation additional_labels"},
    {"shared_with_upstream", refused, "there are no internal listeners"},
};
constexpr FieldRow discovery[] = {
    {"istio_headers"},
    {"workload_discovery", harmless, "peers are known by their headers; workloads are not discovered"},
    {"baggage", refused},
};
constexpr FieldRow propagation[] = {{"istio_headers"}, {"baggage", refused}};
constexpr FieldRow istio_headers[] = {{"skip_external_clusters"}};
constexpr FieldRow tcp_metadata[] = {
    {"protocol", honoured, {}, "istio-peer-exchange"},
    {"enable_discovery", harmless, "peers are known by the exchange; workloads are not discovered"},
    {"additional_labels"},
};
constexpr FieldRow alpn[] = {{"alpn_override"}};
constexpr FieldRow alpn_override[] = {{"upstream_protocol alpn_override"}};
constexpr FieldRow stats[] = {{"*", harmless, "istio_* metrics are not made yet"}};
constexpr FieldRow grpc_stats[] = {
    {"emit_filter_state stats_for_all_methods individual_method_stats_allowlist enable_upstream_stats "
     "replace_dots_in_grpc_service_name",
     harmless, "gRPC messages are not counted yet"}};
constexpr std::string_view partial_faults = "faults are delays and aborts of a share of all requests";
constexpr FieldRow fault[] = {
    {"delay abort"},
    {"response_rate_limit upstream_cluster headers downstream_nodes max_active_faults", refused, partial_faults},
    {"delay_percent_runtime abort_percent_runtime delay_duration_runtime abort_http_status_runtime "
     "max_active_faults_runtime "
     "response_rate_limit_percent_runtime abort_grpc_status_runtime",
     harmless, "there is no runtime to change a fault"},
    {"disable_downstream_cluster_stats", harmless, "a statistic that is not made"},
    {"filter_metadata", refused, partial_faults},
};
constexpr FieldRow fault_delay[] = {{"fixed_delay percentage"},
                                    {"header_delay", refused, "requests do not choose their faults"}};
constexpr FieldRow fault_abort[] = {{"http_status grpc_status percentage"},
                                    {"header_abort", refused, "requests do not choose their faults"}};
constexpr FieldRow cors_policy[] = {
    {"allow_origin_string_match allow_methods allow_headers expose_headers max_age allow_credentials filter_enabled "
     "allow_private_network_access forward_not_matching_preflights"},
    {"shadow_enabled", harmless, "only statistics would come of it"},
};
constexpr FieldRow compressor[] = {
    {"*", harmless, "responses are not compressed; every client takes them as they are"}};
constexpr FieldRow mongo[] = {
    {"stat_prefix commands", harmless, "Mongo's statistics are not made"},
    {"emit_dynamic_metadata max_bson_depth", harmless, "Mongo's messages are not read"},
    {"access_log", refused, "Mongo's messages are not read"},
    {"delay", refused, no_faults},
};
constexpr FieldRow none[] = {{"*", refused}};

constexpr MessageRows messages[] = {
    {"io.istio.http.peer_metadata.Config", peer_metadata, "envoy.filters.http", "istio.metadata_exchange"},
    {"io.istio.http.peer_metadata.Config.DiscoveryMethod", discovery},
    {"io.istio.http.peer_metadata.Config.PropagationMethod", propagation},
    {"io.istio.http.peer_metadata.Config.IstioHeaders", istio_headers},
    {"envoy.tcp.metadataexchange.config.MetadataExchange", tcp_metadata, "envoy.filters.network",
     "istio.metadata_exchange"},
    {"istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig", alpn, "envoy.filters.http", "istio.alpn"},
    {"istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig.AlpnOverride", alpn_override},
    {"stats.PluginConfig", stats, "envoy.filters.http", "istio.stats"},
    {"envoy.extensions.filters.http.grpc_stats.v3.FilterConfig", grpc_stats, "envoy.filters.http",
     "envoy.filters.http.grpc_stats"},
    {"envoy.extensions.filters.http.fault.v3.HTTPFault", fault, "envoy.filters.http", "envoy.filters.http.fault"},
    {"envoy.extensions.filters.common.fault.v3.FaultDelay", fault_delay},
    {"envoy.extensions.filters.http.fault.v3.FaultAbort", fault_abort},
    {"envoy.extensions.filters.http.cors.v3.CorsPolicy", cors_policy, "envoy.filters.http", "envoy.filters.http.cors"},
    {"envoy.extensions.filters.http.cors.v3.Cors", none, "envoy.filters.http", "envoy.filters.http.cors"},
    {"envoy.extensions.filters.http.compressor.v3.Compressor", compressor, "envoy.filters.http",
     "envoy.filters.http.compressor"},
    {"envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy", mongo, "envoy.filters.network",
     "envoy.filters.network.mongo_proxy"},
};

}  // namespace

TableSection filter_fields() { return {"Filters", messages}; }

}  // namespace clew
