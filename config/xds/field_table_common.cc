#include "config/xds/field_table_sections.h"

namespace clew {

namespace {

using enum Support;

constexpr FieldRow address[] = {{"socket_address pipe"},
                                {"envoy_internal_address", refused, "there are no internal listeners"}};
constexpr FieldRow socket_address[] = {
    {"address port_value"},
    {"protocol", honoured, "there is no UDP", "TCP"},
    {"ipv4_compat", honoured, {}, "false"},
    {"named_port resolver_name network_namespace_filepath", refused},
};
constexpr FieldRow pipe[] = {{"path"}, {"mode", refused, "the socket has the mode that umask gives"}};
constexpr FieldRow cidr[] = {{"address_prefix prefix_len"}};
constexpr FieldRow locality[] = {{"region zone sub_zone"}};
constexpr FieldRow metadata[] = {
    {"filter_metadata", honoured, "namespace istio is read; for endpoints also envoy.transport_socket_match"},
    {"typed_filter_metadata", harmless, "nothing reads it"},
};
constexpr FieldRow config_source[] = {
    {"ads api_config_source"},
    {"initial_fetch_timeout", honoured,
     "for endpoints, routes and secrets; listeners and clusters are waited for without end"},
    {"resource_api_version", honoured, {}, "AUTO V3"},
    {"authorities", refused, "xdstp names are not supported"},
    {"path path_config_source self", refused, "resources come over gRPC"},
};
constexpr FieldRow api_source[] = {
    {"api_type", honoured, {}, "GRPC DELTA_GRPC"},
    {"transport_api_version", honoured, {}, "V3"},
    {"grpc_services"},
    {"set_node_on_first_message_only", harmless, "always so"},
    {"refresh_delay request_timeout", harmless, "of REST"},
    {"rate_limit_settings", harmless, "requests follow changes of the subscription alone"},
    {"cluster_names", refused, "of REST"},
    {"config_validators", refused},
};
constexpr FieldRow none[] = {{"*", refused}};
constexpr FieldRow grpc_service[] = {
    {"envoy_grpc"},
    {"timeout", harmless, "a stream has no end"},
    {"google_grpc", refused, "a cluster is named by envoy_grpc"},
    {"initial_metadata retry_policy", refused},
};
constexpr FieldRow envoy_grpc[] = {
    {"cluster_name"},
    {"skip_envoy_headers max_receive_message_length", harmless, "neither sent nor limited"},
    {"authority retry_policy", refused},
};
constexpr FieldRow string_matcher[] = {{"exact prefix suffix safe_regex contains ignore_case"}, {"custom", refused}};
constexpr FieldRow list_string_matcher[] = {{"patterns"}};
constexpr FieldRow regex[] = {{"regex"}, {"google_re2", harmless, "the engine is RE2"}};
constexpr FieldRow percent[] = {{"value"}};
constexpr FieldRow fraction[] = {{"numerator"}, {"denominator", honoured, {}, "HUNDRED TEN_THOUSAND MILLION"}};
constexpr FieldRow runtime_value[] = {{"default_value"},
                                      {"runtime_key", harmless, "there is no runtime to change the value"}};
constexpr FieldRow header_option[] = {{"header append append_action keep_empty_value"}};
constexpr FieldRow header_value[] = {{"key value raw_value"}};
constexpr FieldRow data_source[] = {
    {"filename inline_bytes inline_string"},
    {"environment_variable", refused},
    {"watched_directory", refused, "files are read when the resource arrives"},
};
constexpr FieldRow extension[] = {{"name typed_config"}};

constexpr MessageRows messages[] = {
    {"envoy.config.core.v3.Address", address},
    {"envoy.config.core.v3.SocketAddress", socket_address},
    {"envoy.config.core.v3.Pipe", pipe},
    {"envoy.config.core.v3.CidrRange", cidr},
    {"envoy.config.core.v3.Locality", locality},
    {"envoy.config.core.v3.Metadata", metadata},
    {"envoy.config.core.v3.ConfigSource", config_source},
    {"envoy.config.core.v3.AggregatedConfigSource", none},
    {"envoy.config.core.v3.ApiConfigSource", api_source},
    {"envoy.config.core.v3.GrpcService", grpc_service},
    {"envoy.config.core.v3.GrpcService.EnvoyGrpc", envoy_grpc},
    {"envoy.config.core.v3.TypedExtensionConfig", extension},
    {"envoy.config.core.v3.TransportSocket", extension},
    {"envoy.config.core.v3.DataSource", data_source},
    {"envoy.config.core.v3.HeaderValueOption", header_option},
    {"envoy.config.core.v3.HeaderValue", header_value},
    {"envoy.config.core.v3.RuntimeFractionalPercent", runtime_value},
    {"envoy.config.core.v3.RuntimeUInt32", runtime_value},
    {"envoy.type.matcher.v3.StringMatcher", string_matcher},
    {"envoy.type.matcher.v3.ListStringMatcher", list_string_matcher},
    {"envoy.type.matcher.v3.RegexMatcher", regex},
    {"envoy.type.v3.Percent", percent},
    {"envoy.type.v3.FractionalPercent", fraction},
};

}  // namespace

TableSection common_fields() { return {"Values used everywhere", messages}; }

}  // namespace clew
