#include "config/xds/field_table_sections.h"

namespace clew {

namespace {

using enum Support;

constexpr std::string_view no_mirrors = "requests are not mirrored yet";
constexpr std::string_view no_rate_limits = "rate limits are not enforced yet";

constexpr FieldRow table[] = {
    {"name virtual_hosts response_headers_to_add response_headers_to_remove request_headers_to_add "
     "request_headers_to_remove "
     "ignore_port_in_host_matching typed_per_filter_config metadata"},
    {"validate_clusters", honoured, "a route may name a cluster that is not there: 503", "false"},
    {"max_direct_response_body_size_bytes", honoured, "at most 1 MiB"},
    {"most_specific_header_mutations_wins", refused},
    {"internal_only_headers", refused},
    {"vhds", refused, "virtual hosts come with their table"},
    {"cluster_specifier_plugins", refused},
    {"request_mirror_policies", refused, no_mirrors},
    {"vhost_header ignore_path_parameters_in_path_matching route_specifiers", refused},
};
constexpr FieldRow host[] = {
    {"name domains routes request_headers_to_add request_headers_to_remove response_headers_to_add "
     "response_headers_to_remove "
     "typed_per_filter_config include_request_attempt_count retry_policy require_tls metadata"},
    {"virtual_clusters", harmless, "statistics that are not made"},
    {"matcher", refused, "routes are a list"},
    {"rate_limits", refused, no_rate_limits},
    {"cors", refused, "CORS is configured by typed_per_filter_config"},
    {"include_attempt_count_in_response include_is_timeout_retry_header", refused},
    {"retry_policy_typed_config hedge_policy", refused},
    {"per_request_buffer_limit_bytes request_body_buffer_limit", refused},
    {"request_mirror_policies", refused, no_mirrors},
    {"route_specifiers", refused},
};
constexpr FieldRow route[] = {
    {"name match route redirect direct_response metadata decorator typed_per_filter_config request_headers_to_add "
     "request_headers_to_remove response_headers_to_add response_headers_to_remove"},
    {"stat_prefix", harmless, "statistics are not made by route"},
    {"filter_action non_forwarding_action", refused},
    {"tracing", refused, "sampling is the connection manager's"},
    {"per_request_buffer_limit_bytes request_body_buffer_limit route_specifiers", refused},
};
constexpr FieldRow match[] = {
    {"prefix path safe_regex path_separated_prefix case_sensitive headers query_parameters"},
    {"connect_matcher", refused, "CONNECT is not served"},
    {"path_match_policy", refused},
    {"runtime_fraction", refused, "there is no runtime to change the fraction"},
    {"cookies", refused},
    {"grpc tls_context", refused},
    {"dynamic_metadata", refused, "claims of tokens are not read yet"},
    {"filter_state", refused},
};
constexpr FieldRow header_matcher[] = {
    {"name exact_match safe_regex_match range_match present_match prefix_match suffix_match contains_match "
     "string_match invert_match "
     "treat_missing_header_as_empty"},
};
constexpr FieldRow query_matcher[] = {{"name string_match"}, {"present_match", honoured, {}, "true"}};
constexpr FieldRow range[] = {{"start end"}};
constexpr FieldRow action[] = {
    {"cluster weighted_clusters prefix_rewrite regex_rewrite host_rewrite_literal append_x_forwarded_host timeout "
     "idle_timeout "
     "retry_policy hash_policy max_grpc_timeout max_stream_duration upgrade_configs"},
    {"cluster_not_found_response_code", honoured, {}, "SERVICE_UNAVAILABLE NOT_FOUND INTERNAL_SERVER_ERROR"},
    {"priority", honoured, {}, "DEFAULT HIGH"},
    {"include_vh_rate_limits", harmless, "rate limits are refused where they are"},
    {"internal_redirect_action", honoured, {}, "PASS_THROUGH_INTERNAL_REDIRECT"},
    {"request_mirror_policies", refused, no_mirrors},
    {"rate_limits", refused, no_rate_limits},
    {"cluster_header cluster_specifier_plugin inline_cluster_specifier_plugin", refused,
     "the cluster is named in the route"},
    {"metadata_match", refused, "endpoints are not divided into subsets by metadata"},
    {"path_rewrite_policy path_rewrite", refused},
    {"auto_host_rewrite host_rewrite_header host_rewrite_path_regex host_rewrite", refused,
     "host_rewrite_literal is honoured"},
    {"flush_timeout early_data_policy", refused},
    {"retry_policy_typed_config hedge_policy", refused},
    {"cors", refused, "CORS is configured by typed_per_filter_config"},
    {"grpc_timeout_offset", refused},
    {"internal_redirect_policy max_internal_redirects", refused, "redirects go to the client"},
};
constexpr FieldRow redirect[] = {
    {"https_redirect scheme_redirect host_redirect port_redirect path_redirect prefix_rewrite response_code "
     "strip_query"},
    {"regex_rewrite path_rewrite", refused},
};
constexpr FieldRow direct[] = {{"status body"}, {"body_format", refused}};
constexpr FieldRow weighted[] = {
    {"clusters total_weight"},
    {"runtime_key_prefix", refused, "there is no runtime to change the weights"},
    {"header_name use_hash_policy", refused, "the draw is random"},
};
constexpr FieldRow weight[] = {
    {"name weight request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove "
     "host_rewrite_literal"},
    {"cluster_header", refused, "the cluster is named in the route"},
    {"metadata_match", refused, "endpoints are not divided into subsets by metadata"},
    {"typed_per_filter_config", refused, "filters are configured by route"},
};
constexpr FieldRow retry[] = {
    {"retry_on num_retries per_try_timeout per_try_idle_timeout retry_host_predicate host_selection_retry_max_attempts "
     "retriable_status_codes retry_back_off retriable_headers"},
    {"retry_priority", refused, "retries go to the priority that the balancer chooses"},
    {"rate_limited_retry_back_off", refused},
    {"retriable_request_headers retry_options_predicates refresh_cluster_on_retry", refused},
};
constexpr FieldRow extension[] = {{"name typed_config"}};
constexpr FieldRow back_off[] = {{"base_interval max_interval"}};
constexpr FieldRow decorator[] = {{"operation"}, {"propagate", honoured, {}, "true"}};
constexpr FieldRow filter_config[] = {
    {"config"},
    {"is_optional", harmless, "an unknown type is refused in any case"},
    {"disabled", refused, "a filter is in the chain or not"},
};
constexpr FieldRow hash[] = {{"header cookie connection_properties query_parameter terminal"},
                             {"filter_state", refused}};
constexpr FieldRow hash_header[] = {{"header_name"}, {"regex_rewrite", refused}};
constexpr FieldRow hash_cookie[] = {{"name ttl path attributes"}};
constexpr FieldRow hash_attribute[] = {{"name value"}};
constexpr FieldRow hash_source[] = {{"source_ip", honoured, {}, "true"}};
constexpr FieldRow hash_query[] = {{"name"}};
constexpr FieldRow upgrade[] = {
    {"upgrade_type", honoured, "CONNECT is not served", "websocket WebSocket Websocket"},
    {"enabled"},
    {"connect_config", refused, "CONNECT is not served"},
};
constexpr FieldRow max_duration[] = {{"max_stream_duration grpc_timeout_header_max"},
                                     {"grpc_timeout_header_offset", refused}};
constexpr FieldRow substitute[] = {{"pattern substitution"}};
constexpr FieldRow none[] = {{"*", refused}};

constexpr MessageRows messages[] = {
    {"envoy.config.route.v3.RouteConfiguration", table},
    {"envoy.config.route.v3.VirtualHost", host},
    {"envoy.config.route.v3.Route", route},
    {"envoy.config.route.v3.RouteMatch", match},
    {"envoy.config.route.v3.HeaderMatcher", header_matcher},
    {"envoy.config.route.v3.QueryParameterMatcher", query_matcher},
    {"envoy.type.v3.Int64Range", range},
    {"envoy.type.v3.Int32Range", range},
    {"envoy.config.route.v3.RouteAction", action},
    {"envoy.config.route.v3.RouteAction.HashPolicy", hash},
    {"envoy.config.route.v3.RouteAction.HashPolicy.Header", hash_header},
    {"envoy.config.route.v3.RouteAction.HashPolicy.Cookie", hash_cookie},
    {"envoy.config.route.v3.RouteAction.HashPolicy.CookieAttribute", hash_attribute},
    {"envoy.config.route.v3.RouteAction.HashPolicy.ConnectionProperties", hash_source},
    {"envoy.config.route.v3.RouteAction.HashPolicy.QueryParameter", hash_query},
    {"envoy.config.route.v3.RouteAction.UpgradeConfig", upgrade},
    {"envoy.config.route.v3.RouteAction.MaxStreamDuration", max_duration},
    {"envoy.config.route.v3.RedirectAction", redirect},
    {"envoy.config.route.v3.DirectResponseAction", direct},
    {"envoy.config.route.v3.WeightedCluster", weighted},
    {"envoy.config.route.v3.WeightedCluster.ClusterWeight", weight},
    {"envoy.config.route.v3.RetryPolicy", retry},
    {"envoy.config.route.v3.RetryPolicy.RetryBackOff", back_off},
    {"envoy.config.route.v3.RetryPolicy.RetryHostPredicate", extension},
    {"envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate", none, "envoy.retry_host_predicates",
     "envoy.retry_host_predicates.previous_hosts"},
    {"envoy.config.route.v3.Decorator", decorator},
    {"envoy.config.route.v3.FilterConfig", filter_config},
    {"envoy.type.matcher.v3.RegexMatchAndSubstitute", substitute},
};

}  // namespace

TableSection route_fields() { return {"Routes", messages}; }

}  // namespace clew
