#include "config/xds/field_table_sections.h"

namespace clew {

namespace {

using enum Support;

constexpr FieldRow manager[] = {
    {"stat_prefix rds route_config http_filters tracing common_http_protocol_options http_protocol_options "
     "http2_protocol_options "
     "server_name server_header_transformation max_request_headers_kb stream_idle_timeout request_timeout "
     "request_headers_timeout "
     "drain_timeout access_log use_remote_address xff_num_trusted_hops internal_address_config skip_xff_append via "
     "generate_request_id "
     "preserve_external_request_id always_set_request_id_in_response forward_client_cert_details "
     "set_current_client_cert_details "
     "proxy_100_continue upgrade_configs normalize_path merge_slashes path_with_escaped_slashes_action "
     "request_id_extension "
     "strip_matching_host_port strip_any_host_port strip_trailing_host_dot append_x_forwarded_port"},
    {"codec_type", honoured, "there is no HTTP/3", "AUTO HTTP1 HTTP2"},
    {"delayed_close_timeout", harmless, "a closing connection is read until the peer is done, within a bound"},
    {"record_route_resolution_stats", harmless, "a statistic that is not made"},
    {"drain_timeout_jitter http1_safe_max_connection_duration append_local_overload", harmless,
     "drains and limits are spread by the connections' own times"},
    {"access_log_options access_log_flush_interval flush_access_log_on_new_request", refused,
     "a stream is logged once, at its end"},
    {"scoped_routes", refused, "routes come by RDS or in place"},
    {"http3_protocol_options", refused, "there is no HTTP/3"},
    {"add_user_agent", refused},
    {"scheme_header_transformation forward_proto_config", refused},
    {"stream_flush_timeout stream_error_on_invalid_http_message", refused},
    {"original_ip_detection_extensions early_header_mutation_extensions typed_header_validation_config", refused},
    {"forward_client_cert_matcher", refused},
    {"represent_ipv4_remote_address_as_ipv4_mapped_ipv6 add_proxy_protocol_connection_state", refused},
    {"local_reply_config", refused, "local replies have Envoy's texts"},
    {"path_normalization_options", refused,
     "normalize_path, merge_slashes and path_with_escaped_slashes_action are honoured"},
    {"proxy_status_config", refused},
};
constexpr FieldRow tracing[] = {
    {"client_sampling random_sampling overall_sampling", honoured, "they decide the trace bits of x-request-id"},
    {"provider", harmless, "no spans are sent yet"},
    {"verbose max_path_tag_length custom_tags spawn_upstream_span operation upstream_operation no_context_propagation",
     harmless, "no spans are sent yet"},
};
constexpr FieldRow internal_addresses[] = {{"cidr_ranges"}, {"unix_sockets", refused}};
constexpr FieldRow client_cert[] = {{"subject cert chain dns uri"}, {"issuer format", refused}};
constexpr FieldRow upgrade[] = {
    {"upgrade_type", honoured, "CONNECT is not served", "websocket WebSocket Websocket"},
    {"enabled", honoured},
    {"filters", refused, "upgrades pass the same filters"},
};
constexpr FieldRow http_filter[] = {
    {"name typed_config"},
    {"is_optional", harmless, "an unknown type is refused in any case"},
    {"disabled", refused, "a filter is in the chain or not"},
    {"config_discovery", refused, "extensions are configured in place"},
};
constexpr FieldRow rds[] = {{"config_source route_config_name"}};
constexpr FieldRow request_id[] = {{"typed_config"}};
constexpr FieldRow uuid[] = {{"pack_trace_reason use_request_id_for_trace_sampling", honoured, {}, "true"}};
constexpr FieldRow common_options[] = {
    {"idle_timeout max_connection_duration max_headers_count max_stream_duration headers_with_underscores_action "
     "max_requests_per_connection"},
    {"max_connection_duration_jitter", harmless, "connections end at their own times"},
    {"max_response_headers_kb", harmless, "responses have the bound of requests"},
};
constexpr FieldRow http1[] = {
    {"allow_absolute_url accept_http_10 default_host_for_http_10 header_key_format"},
    {"enable_trailers", harmless, "trailers are always read"},
    {"use_balsa_parser", harmless, "the parser is llhttp"},
    {"allow_chunked_length", refused, "a message that could be read in two ways is refused"},
    {"override_stream_error_on_invalid_http_message", refused, "a connection that sent a bad message is closed"},
    {"send_fully_qualified_url allow_custom_methods ignore_http_11_upgrade", refused},
};
constexpr FieldRow http1_case[] = {{"stateful_formatter"}, {"proper_case_words", refused}};
constexpr FieldRow preserve_case[] = {{"forward_reason_phrase", honoured, {}, "false"},
                                      {"formatter_type_on_envoy_headers", honoured, {}, "DEFAULT"}};
constexpr FieldRow http2[] = {
    {"max_concurrent_streams initial_stream_window_size initial_connection_window_size connection_keepalive"},
    {"hpack_table_size enable_huffman_encoding", harmless, "the codec's own default"},
    {"max_outbound_frames max_outbound_control_frames max_consecutive_inbound_frames_with_empty_payload "
     "max_inbound_priority_frames_per_stream max_inbound_window_update_frames_per_data_frame_sent stream_reset_burst "
     "stream_reset_rate",
     harmless, "floods are bounded by limits of our own"},
    {"use_oghttp2_codec", harmless, "the codec is nghttp2"},
    {"max_header_field_size_kb", harmless, "headers are bounded as a whole"},
    {"allow_connect", refused, "CONNECT is not served"},
    {"allow_metadata max_metadata_size", refused, "METADATA frames are not read"},
    {"stream_error_on_invalid_http_messaging override_stream_error_on_invalid_http_message disallow_obs_text", refused},
    {"custom_settings_parameters", refused},
};
constexpr FieldRow keepalive[] = {
    {"interval timeout"},
    {"interval_jitter", harmless, "pings are spread by the connections' own times"},
    {"connection_idle_interval", harmless, "an idle connection is found dead at its next ping"},
};
constexpr FieldRow upstream_options[] = {{"auto_sni auto_san_validation"},
                                         {"override_auto_sni_header", refused, "the name is the authority's"}};
constexpr FieldRow router[] = {
    {"suppress_envoy_headers"},
    {"start_child_span", harmless, "no spans are sent yet"},
    {"dynamic_stats suppress_grpc_request_failure_code_stats", harmless, "statistics that are not made"},
    {"upstream_log upstream_log_options", refused, "a stream is logged once, at its end"},
    {"upstream_http_filters", refused, "there are no filters upstream of the router"},
    {"strict_check_headers respect_expected_rq_timeout reject_connect_request_early_data", refused},
};
constexpr FieldRow tcp_proxy[] = {
    {"stat_prefix cluster weighted_clusters idle_timeout access_log max_connect_attempts hash_policy "
     "max_downstream_connection_duration"},
    {"max_downstream_connection_duration_jitter_percentage", harmless, "connections end at their own times"},
    {"check_drain_close", harmless, "draining follows the listener"},
    {"on_demand", refused, "clusters come by CDS"},
    {"metadata_match", refused, "endpoints are not divided into subsets by metadata"},
    {"downstream_idle_timeout upstream_idle_timeout backoff_options", refused},
    {"tunneling_config", refused, "bytes are not carried in HTTP"},
    {"access_log_options access_log_flush_interval flush_access_log_on_connected", refused,
     "a connection is logged once, at its end"},
    {"proxy_protocol_tlvs proxy_protocol_tlv_merge_policy", refused, "TLVs are not written"},
    {"upstream_connect_mode max_early_data_bytes", refused},
};
constexpr FieldRow tcp_weighted[] = {{"clusters"}};
constexpr FieldRow tcp_weight[] = {{"name weight"},
                                   {"metadata_match", refused, "endpoints are not divided into subsets by metadata"}};
constexpr FieldRow tcp_hash[] = {{"source_ip"}, {"filter_state", refused}};
constexpr FieldRow none[] = {{"*", refused}};

constexpr MessageRows messages[] = {
    {"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", manager,
     "envoy.filters.network", "envoy.filters.network.http_connection_manager"},
    {"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing", tracing},
    {"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.InternalAddressConfig",
     internal_addresses},
    {"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.SetCurrentClientCertDetails",
     client_cert},
    {"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.UpgradeConfig", upgrade},
    {"envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter", http_filter},
    {"envoy.extensions.filters.network.http_connection_manager.v3.Rds", rds},
    {"envoy.extensions.filters.network.http_connection_manager.v3.RequestIDExtension", request_id},
    {"envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig", uuid, "envoy.request_id", "envoy.request_id.uuid"},
    {"envoy.config.core.v3.HttpProtocolOptions", common_options},
    {"envoy.config.core.v3.Http1ProtocolOptions", http1},
    {"envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat", http1_case},
    {"envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig", preserve_case,
     "envoy.http.stateful_header_formatters", "preserve_case"},
    {"envoy.config.core.v3.Http2ProtocolOptions", http2},
    {"envoy.config.core.v3.KeepaliveSettings", keepalive},
    {"envoy.config.core.v3.UpstreamHttpProtocolOptions", upstream_options},
    {"envoy.extensions.filters.http.router.v3.Router", router, "envoy.filters.http", "envoy.filters.http.router"},
    {"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", tcp_proxy, "envoy.filters.network",
     "envoy.filters.network.tcp_proxy"},
    {"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster", tcp_weighted},
    {"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight", tcp_weight},
    {"envoy.type.v3.HashPolicy", tcp_hash},
    {"envoy.type.v3.HashPolicy.SourceIp", none},
};

}  // namespace

TableSection http_fields() { return {"HTTP connection manager and TCP proxy", messages}; }

}  // namespace clew
