#include "config/xds/field_table_sections.h"

namespace clew {

namespace {

using enum Support;

constexpr FieldRow log[] = {{"name filter typed_config"}};
constexpr FieldRow filter[] = {
    {"status_code_filter duration_filter not_health_check_filter and_filter or_filter response_flag_filter"},
    {"traceable_filter runtime_filter header_filter grpc_status_filter metadata_filter log_type_filter", refused},
    {"extension_filter", refused, "CEL expressions are not evaluated yet"},
};
constexpr FieldRow comparison_filter[] = {{"comparison"}};
constexpr FieldRow comparison[] = {{"op value"}};
constexpr FieldRow flags[] = {{"flags"}};
constexpr FieldRow filters[] = {{"filters"}};
constexpr FieldRow none[] = {{"*", refused}};
constexpr FieldRow file[] = {{"path format json_format typed_json_format log_format"}};
constexpr FieldRow stream[] = {{"log_format"}};
constexpr FieldRow format[] = {
    {"text_format json_format text_format_source omit_empty_values formatters"},
    {"content_type", harmless, "of replies, not of logs"},
    {"json_format_options", harmless, "keys are always in order"},
};
constexpr FieldRow formatter[] = {{"*", refused}};

constexpr MessageRows messages[] = {
    {"envoy.config.accesslog.v3.AccessLog", log},
    {"envoy.config.accesslog.v3.AccessLogFilter", filter},
    {"envoy.config.accesslog.v3.StatusCodeFilter", comparison_filter},
    {"envoy.config.accesslog.v3.DurationFilter", comparison_filter},
    {"envoy.config.accesslog.v3.ComparisonFilter", comparison},
    {"envoy.config.accesslog.v3.ResponseFlagFilter", flags},
    {"envoy.config.accesslog.v3.NotHealthCheckFilter", none},
    {"envoy.config.accesslog.v3.AndFilter", filters},
    {"envoy.config.accesslog.v3.OrFilter", filters},
    {"envoy.extensions.access_loggers.file.v3.FileAccessLog", file, "envoy.access_loggers",
     "envoy.access_loggers.file"},
    {"envoy.extensions.access_loggers.stream.v3.StdoutAccessLog", stream, "envoy.access_loggers",
     "envoy.access_loggers.stdout"},
    {"envoy.extensions.access_loggers.stream.v3.StderrAccessLog", stream, "envoy.access_loggers",
     "envoy.access_loggers.stderr"},
    {"envoy.config.core.v3.SubstitutionFormatString", format},
    {"envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery", formatter, "envoy.formatter",
     "envoy.formatter.req_without_query"},
    {"envoy.extensions.formatter.metadata.v3.Metadata", formatter, "envoy.formatter", "envoy.formatter.metadata"},
};

}  // namespace

TableSection access_log_fields() { return {"Access logs", messages}; }

}  // namespace clew
