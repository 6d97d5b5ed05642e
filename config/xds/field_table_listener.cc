#include "config/xds/field_table_sections.h"

namespace clew {

namespace {

using enum Support;

constexpr FieldRow listener[] = {
    {"name address additional_addresses filter_chains default_filter_chain use_original_dst bind_to_port deprecated_v1 "
     "listener_filters "
     "listener_filters_timeout continue_on_listener_filters_timeout transparent traffic_direction "
     "per_connection_buffer_limit_bytes "
     "access_log metadata ignore_global_conn_limit"},
    {"drain_type", honoured, {}, "DEFAULT"},
    {"enable_reuse_port", honoured, {}, "true"},
    {"connection_balance_config", harmless, "the kernel spreads connections over the workers' sockets"},
    {"max_connections_to_accept_per_socket_event tcp_backlog_size tcp_fast_open_queue_length", harmless,
     "tuning that changes no connection's fate"},
    {"bypass_overload_manager", harmless, "there are no overload actions; the connection limit has a field of its own"},
    {"stat_prefix stats_matcher", harmless, "statistics are named by address"},
    {"fcds_config filter_chain_matcher", refused, "chains are chosen by filter_chain_match"},
    {"internal_listener", refused, "there are no internal listeners"},
    {"udp_listener_config", refused, "there are no UDP listeners"},
    {"api_listener", refused},
    {"freebind", refused},
    {"socket_options enable_mptcp tcp_keepalive per_connection_buffer_high_watermark_timeout", refused},
    {"reuse_port", refused, "the field is enable_reuse_port now"},
};
constexpr FieldRow deprecated_v1[] = {{"bind_to_port"}};
constexpr FieldRow additional_address[] = {{"address"}, {"socket_options tcp_keepalive", refused}};
constexpr FieldRow chain[] = {
    {"name filter_chain_match filters transport_socket transport_socket_connect_timeout metadata"},
    {"use_proxy_proto", refused, "the listener filter proxy_protocol does it"},
};
constexpr FieldRow match[] = {
    {"destination_port prefix_ranges server_names transport_protocol application_protocols source_prefix_ranges "
     "source_ports"},
    {"address_suffix suffix_len", refused},
    {"direct_source_prefix_ranges source_type", refused, "chains are not chosen by the direct source"},
};
constexpr FieldRow filter[] = {{"name typed_config"},
                               {"config_discovery", refused, "extensions are configured in place"}};
constexpr FieldRow listener_filter[] = {{"name typed_config filter_disabled"},
                                        {"config_discovery", refused, "extensions are configured in place"}};
constexpr FieldRow predicate[] = {{"or_match and_match not_match destination_port_range"},
                                  {"any_match", honoured, {}, "true"}};
constexpr FieldRow rules[] = {{"rules"}};
constexpr FieldRow none[] = {{"*", refused}};
constexpr FieldRow original_src[] = {{"mark"}, {"bind_port", refused, "the source port is the kernel's choice"}};
constexpr FieldRow tls_inspector[] = {
    {"initial_read_buffer_size max_client_hello_size", harmless, "a ClientHello is read up to 16 KiB"},
    {"enable_ja3_fingerprinting enable_ja4_fingerprinting", refused},
    {"close_connection_on_client_hello_parsing_errors", refused},
};
constexpr FieldRow proxy_protocol[] = {
    {"allow_requests_without_proxy_protocol"},
    {"stat_prefix", harmless, "statistics are named by address"},
    {"rules pass_through_tlvs tlv_location", refused, "TLVs are not read"},
    {"disallowed_versions", refused},
};

constexpr MessageRows messages[] = {
    {"envoy.config.listener.v3.Listener", listener},
    {"envoy.config.listener.v3.Listener.DeprecatedV1", deprecated_v1},
    {"envoy.config.listener.v3.AdditionalAddress", additional_address},
    {"envoy.config.listener.v3.FilterChain", chain},
    {"envoy.config.listener.v3.FilterChainMatch", match},
    {"envoy.config.listener.v3.Filter", filter},
    {"envoy.config.listener.v3.ListenerFilter", listener_filter},
    {"envoy.config.listener.v3.ListenerFilterChainMatchPredicate", predicate},
    {"envoy.config.listener.v3.ListenerFilterChainMatchPredicate.MatchSet", rules},
    {"envoy.extensions.filters.listener.original_dst.v3.OriginalDst", none, "envoy.filters.listener",
     "envoy.filters.listener.original_dst"},
    {"envoy.extensions.filters.listener.original_src.v3.OriginalSrc", original_src, "envoy.filters.listener",
     "envoy.filters.listener.original_src"},
    {"envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector", tls_inspector, "envoy.filters.listener",
     "envoy.filters.listener.tls_inspector"},
    {"envoy.extensions.filters.listener.http_inspector.v3.HttpInspector", none, "envoy.filters.listener",
     "envoy.filters.listener.http_inspector"},
    {"envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol", proxy_protocol, "envoy.filters.listener",
     "envoy.filters.listener.proxy_protocol"},
};

}  // namespace

TableSection listener_fields() { return {"Listeners", messages}; }

}  // namespace clew
