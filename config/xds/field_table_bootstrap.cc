#include "config/xds/field_table_sections.h"

namespace clew {

namespace {

using enum Support;

constexpr FieldRow bootstrap[] = {
    {"node static_resources dynamic_resources stats_config layered_runtime admin overload_manager "
     "application_log_config"},
    {"bootstrap_extensions", harmless,
     "internal listeners are refused where one is configured; workload discovery is not done"},
    {"deferred_stat_options", harmless, "statistics are always made when they are first asked for"},
    {"stats_flush_interval stats_flush_on_admin", harmless, "statistics are always folded when they are asked for"},
    {"stats_eviction_interval", harmless, "statistics go with what they are about"},
    {"watchdog watchdogs", harmless, "there is no watchdog yet"},
    {"tracing", harmless, "no spans are sent yet", {}, true},
    {"stats_sinks", harmless, "statistics are served, not pushed", {}, true},
    {"cluster_manager", harmless, "its settings have no counterpart", {}, true},
    {"enable_dispatcher_stats stats_server_version_override perf_tracing_file_path memory_allocator_manager "
     "enable_worker_cpu_affinity listener_manager default_socket_interface grpc_async_client_manager_config "
     "node_context_params",
     harmless, "a matter of Envoy's own workings"},
    {"use_tcp_for_dns_lookups dns_resolution_config typed_dns_resolver_config",
     harmless,
     "names are resolved by c-ares with the system's servers",
     {},
     true},
    {"hds_config", refused, "active health checks are not done"},
    {"flags_path", refused, "runtime flags come from the static layers alone"},
    {"header_prefix", refused, "headers begin with x-envoy-"},
    {"fatal_actions inline_headers certificate_provider_instances default_regex_engine xds_delegate_extension "
     "xds_config_tracker_extension",
     refused, "extensions of Envoy's core"},
    {"config_sources default_config_source", refused, "resources come over the one ADS stream"},
};
constexpr FieldRow static_resources[] = {{"listeners clusters secrets"}};
constexpr FieldRow dynamic_resources[] = {
    {"lds_config cds_config ads_config"},
    {"lds_resources_locator cds_resources_locator", refused, "xdstp names are not supported"},
};
constexpr FieldRow admin[] = {
    {"address"},
    {"access_log access_log_path", harmless, "the admin interface writes no access log"},
    {"profile_path", harmless, "there is no profiler"},
    {"ignore_global_conn_limit", harmless, "the admin listener is never limited"},
    {"socket_options", refused},
    {"allow_paths", refused, "the admin interface serves all of its paths"},
};
constexpr FieldRow runtime[] = {{"layers"}};
constexpr FieldRow layer[] = {
    {"name static_layer"},
    {"admin_layer", harmless, "POST /runtime_modify is not there"},
    {"disk_layer rtds_layer", refused, "only static layers are read"},
};
constexpr FieldRow stats[] = {
    {"stats_tags stats_matcher histogram_bucket_settings"},
    {"use_all_default_tags", honoured, "Envoy's own tags are never extracted, unset neither", "false"},
    {"allow_default_tag_overrides", harmless, "a later tag of the same name wins"},
};
constexpr FieldRow stats_matcher[] = {{"reject_all inclusion_list exclusion_list"}};
constexpr FieldRow tag[] = {{"tag_name regex fixed_value"}};
constexpr FieldRow buckets[] = {{"match buckets"},
                                {"bins", harmless, "histograms have the buckets that are configured"}};
constexpr FieldRow node[] = {
    {"id cluster metadata locality"},
    {"dynamic_parameters client_features listening_addresses", harmless, "sent to the control plane unchanged"},
    {"user_agent_name user_agent_version user_agent_build_version extensions", harmless, "written anew"},
};
constexpr FieldRow application_log[] = {{"log_format"}};
constexpr FieldRow log_format[] = {{"json_format text_format"}};
constexpr FieldRow overload[] = {
    {"resource_monitors"},
    {"refresh_interval", harmless, "connections are counted as they come and go"},
    {"buffer_factory_config", harmless, "buffers have bounds of their own"},
    {"actions loadshed_points", refused, "the only limit is that of downstream connections"},
};
constexpr FieldRow monitor[] = {{"name typed_config"}};
constexpr FieldRow downstream_connections[] = {{"max_active_downstream_connections"}};

constexpr MessageRows messages[] = {
    {"envoy.config.bootstrap.v3.Bootstrap", bootstrap},
    {"envoy.config.bootstrap.v3.Bootstrap.StaticResources", static_resources},
    {"envoy.config.bootstrap.v3.Bootstrap.DynamicResources", dynamic_resources},
    {"envoy.config.bootstrap.v3.Bootstrap.ApplicationLogConfig", application_log},
    {"envoy.config.bootstrap.v3.Bootstrap.ApplicationLogConfig.LogFormat", log_format},
    {"envoy.config.bootstrap.v3.Admin", admin},
    {"envoy.config.bootstrap.v3.LayeredRuntime", runtime},
    {"envoy.config.bootstrap.v3.RuntimeLayer", layer},
    {"envoy.config.core.v3.Node", node},
    {"envoy.config.metrics.v3.StatsConfig", stats},
    {"envoy.config.metrics.v3.StatsMatcher", stats_matcher},
    {"envoy.config.metrics.v3.TagSpecifier", tag},
    {"envoy.config.metrics.v3.HistogramBucketSettings", buckets},
    {"envoy.config.overload.v3.OverloadManager", overload},
    {"envoy.config.overload.v3.ResourceMonitor", monitor},
    {"envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig", downstream_connections,
     "envoy.resource_monitors", "envoy.resource_monitors.global_downstream_max_connections"},
};

}  // namespace

TableSection bootstrap_fields() { return {"Bootstrap", messages}; }

}  // namespace clew
