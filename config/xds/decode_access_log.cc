#include "config/xds/decode_access_log.h"

#include "config/xds/decode_common.h"
#include "config/xds/json.h"

#include "envoy/extensions/access_loggers/file/v3/file.pb.h"
#include "envoy/extensions/access_loggers/stream/v3/stream.pb.h"
#include "envoy/extensions/formatter/metadata/v3/metadata.pb.h"
#include "envoy/extensions/formatter/req_without_query/v3/req_without_query.pb.h"

#include <fmt/format.h>

#include <algorithm>

namespace clew {

namespace access = envoy::config::accesslog::v3;
namespace core = envoy::config::core::v3;
using envoy::extensions::access_loggers::file::v3::FileAccessLog;
using envoy::extensions::access_loggers::stream::v3::StderrAccessLog;
using envoy::extensions::access_loggers::stream::v3::StdoutAccessLog;
using google::protobuf::Struct;
using google::protobuf::Value;

namespace {

constexpr int max_depth = 16;

// Envoy's format where none is given.
constexpr std::string_view default_format =
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% "
    "%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" "
    "\"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n";

constexpr std::string_view known_flags[] = {
    "LH", "UH", "UT",  "LR",  "UR",    "UF",   "UC",   "UO", "NR",  "DI", "FI", "RL", "UAEX", "RLSE", "DC", "URX",
    "SI", "IH", "DPE", "UPE", "UMSDR", "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DO",   "DR",   "UDO"};

TextFormat decode_text(std::string_view text, Scope& scope) {
  ParsedFormat parsed = parse_format(text);
  if (!parsed.error.empty()) scope.fail(printable(parsed.error));
  return std::move(parsed.items);
}

JsonFormat::Node decode_node(const Value& value, int depth, Scope& scope);

JsonFormat::Object decode_object(const Struct& message, int depth, Scope& scope) {
  JsonFormat::Object out;
  if (depth > max_depth) {
    scope.fail("is nested too deep");
    return out;
  }
  for (const auto& [key, value] : message.fields()) {
    const Scope::Field in(scope, "fields", std::string_view(key));
    out.push_back({key, decode_node(value, depth, scope)});
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
  return out;
}

JsonFormat::Node decode_node(const Value& value, int depth, Scope& scope) {
  switch (value.kind_case()) {
    case Value::kStringValue: return {decode_text(value.string_value(), scope)};
    case Value::kNumberValue: return {value.number_value()};
    case Value::kBoolValue: return {value.bool_value()};
    case Value::kStructValue: return {decode_object(value.struct_value(), depth + 1, scope)};
    case Value::kListValue: {
      std::vector<JsonFormat::Node> list;
      if (depth >= max_depth)
        scope.fail("is nested too deep");
      else
        for (const auto& item : value.list_value().values()) list.push_back(decode_node(item, depth + 1, scope));
      return {std::move(list)};
    }
    default: return {nullptr};
  }
}

using Format = decltype(AccessLog::format);

Format decode_json(const Struct& message, bool omit_empty, Scope& scope) {
  JsonFormat out;
  out.root = decode_object(message, 0, scope);
  out.omit_empty_values = omit_empty;
  return out;
}

Format decode_format(const core::SubstitutionFormatString& message, Scope& scope) {
  for (int i = 0; i < message.formatters_size(); ++i) {  // their operators are always known
    const auto& config = message.formatters(i).typed_config();
    const Scope::Field in(scope, "formatters", static_cast<std::size_t>(i));
    if (!config.Is<envoy::extensions::formatter::metadata::v3::Metadata>() &&
        !config.Is<envoy::extensions::formatter::req_without_query::v3::ReqWithoutQuery>())
      scope.fail(fmt::format("type {} is no formatter", printable(config.type_url())));
  }
  if (message.has_json_format()) {
    const Scope::Field in(scope, "json_format");
    return decode_json(message.json_format(), message.omit_empty_values(), scope);
  }
  if (message.omit_empty_values()) scope.fail("omit_empty_values", "is supported for JSON alone");
  if (message.has_text_format_source()) {
    const Scope::Field in(scope, "text_format_source");
    return decode_text(decode_data_source(message.text_format_source(), scope), scope);
  }
  const Scope::Field in(scope, "text_format");
  if (message.text_format().empty()) scope.fail("is empty");
  return decode_text(message.text_format(), scope);
}

void decode_file(const FileAccessLog& message, Scope& scope, AccessLog& out) {
  out.path = message.path();
  if (message.path().empty() || message.path().find('\0') != std::string::npos) scope.fail("path", "is no path");
  switch (message.access_log_format_case()) {
    case FileAccessLog::kLogFormat: {
      const Scope::Field in(scope, "log_format");
      out.format = decode_format(message.log_format(), scope);
      break;
    }
    case FileAccessLog::kJsonFormat: {
      const Scope::Field in(scope, "json_format");
      out.format = decode_json(message.json_format(), false, scope);
      break;
    }
    case FileAccessLog::kTypedJsonFormat: {
      const Scope::Field in(scope, "typed_json_format");
      out.format = decode_json(message.typed_json_format(), false, scope);
      break;
    }
    case FileAccessLog::kFormat:
      if (!message.format().empty()) {
        const Scope::Field in(scope, "format");
        out.format = decode_text(message.format(), scope);
        break;
      }
      [[fallthrough]];
    default: out.format = decode_text(default_format, scope);
  }
}

template <class Stream>
void decode_stream(const Stream& message, const char* path, Scope& scope, AccessLog& out) {
  out.path = path;
  const Scope::Field in(scope, "log_format");
  out.format = message.has_log_format() ? decode_format(message.log_format(), scope)
                                        : Format(decode_text(default_format, scope));
}

AccessLogFilter::StatusCode decode_comparison(const access::ComparisonFilter& message, Scope& scope) {
  using Op = AccessLogFilter::StatusCode::Op;
  const std::uint32_t value = message.value().default_value();
  switch (message.op()) {
    case access::ComparisonFilter::EQ: return {Op::equal, value};
    case access::ComparisonFilter::GE: return {Op::greater_equal, value};
    case access::ComparisonFilter::LE: return {Op::less_equal, value};
    case access::ComparisonFilter::NE: return {Op::not_equal, value};
    default: scope.fail("op", "is not supported"); return {};
  }
}

AccessLogFilter decode_filter(const access::AccessLogFilter& message, int depth, Scope& scope) {
  if (depth > max_depth) {
    scope.fail("is nested too deep");
    return {};
  }
  const auto list = [&](const auto& messages, std::string_view field) {
    std::vector<AccessLogFilter> out;
    if (messages.size() < 2) scope.fail(field, "needs two filters or more");
    for (int i = 0; i < messages.size(); ++i) {
      const Scope::Field in(scope, field, static_cast<std::size_t>(i));
      out.push_back(decode_filter(messages[i], depth + 1, scope));
    }
    return out;
  };
  switch (message.filter_specifier_case()) {
    case access::AccessLogFilter::kStatusCodeFilter: {
      const Scope::Field in(scope, "status_code_filter.comparison");
      return {decode_comparison(message.status_code_filter().comparison(), scope)};
    }
    case access::AccessLogFilter::kDurationFilter: {
      const Scope::Field in(scope, "duration_filter.comparison");
      return {AccessLogFilter::DurationMs{decode_comparison(message.duration_filter().comparison(), scope)}};
    }
    case access::AccessLogFilter::kNotHealthCheckFilter: return {AccessLogFilter::NotHealthCheck{}};
    case access::AccessLogFilter::kAndFilter:
      return {AccessLogFilter::And{list(message.and_filter().filters(), "and_filter.filters")}};
    case access::AccessLogFilter::kOrFilter:
      return {AccessLogFilter::Or{list(message.or_filter().filters(), "or_filter.filters")}};
    case access::AccessLogFilter::kResponseFlagFilter: {
      AccessLogFilter::ResponseFlags flags;
      for (const auto& flag : message.response_flag_filter().flags()) {
        if (std::find(std::begin(known_flags), std::end(known_flags), flag) == std::end(known_flags))
          scope.fail("response_flag_filter.flags", fmt::format("«{}» is no response flag", printable(flag)));
        flags.any_of.push_back(flag);
      }
      return {std::move(flags)};
    }
    default: scope.fail("is no filter that is supported"); return {};
  }
}

std::shared_ptr<const AccessLog> decode_access_log(const access::AccessLog& message, Scope& scope) {
  auto out = std::make_shared<AccessLog>();
  if (message.has_filter()) {
    const Scope::Field in(scope, "filter");
    out->filter = decode_filter(message.filter(), 0, scope);
  }
  const Scope::Field in(scope, "typed_config");
  auto config = unpack(message.typed_config());
  if (!config)
    scope.fail(config.error().message);
  else if (const auto* file = dynamic_cast<const FileAccessLog*>(config->get()))
    decode_file(*file, scope, *out);
  else if (const auto* to_stdout = dynamic_cast<const StdoutAccessLog*>(config->get()))
    decode_stream(*to_stdout, "/dev/stdout", scope, *out);
  else if (const auto* to_stderr = dynamic_cast<const StderrAccessLog*>(config->get()))
    decode_stream(*to_stderr, "/dev/stderr", scope, *out);
  else
    scope.fail(fmt::format("type {} is not supported here", (*config)->GetTypeName()));
  return out;
}

/// Logs in use, by the bytes they were made of.
class Interned {
 public:
  std::shared_ptr<const AccessLog> find(const std::string& bytes) {
    const auto it = logs_.find(bytes);
    return it == logs_.end() ? nullptr : it->second.lock();
  }
  void add(std::string bytes, const std::shared_ptr<const AccessLog>& log) {
    if (logs_.size() >= purge_at_) {
      std::erase_if(logs_, [](const auto& entry) { return entry.second.expired(); });
      purge_at_ = std::max<std::size_t>(64, logs_.size() * 2);
    }
    logs_[std::move(bytes)] = log;
  }

 private:
  StringMap<std::weak_ptr<const AccessLog>> logs_;
  std::size_t purge_at_ = 64;
};

}  // namespace

AccessLogs decode_access_logs(const google::protobuf::RepeatedPtrField<access::AccessLog>& messages,
                              std::string_view field, Scope& scope) {
  static Interned interned;
  AccessLogs out;
  for (int i = 0; i < messages.size(); ++i) {
    const Scope::Field in(scope, field, static_cast<std::size_t>(i));
    std::string bytes = messages[i].SerializeAsString();
    auto log = interned.find(bytes);
    if (!log) {
      log = decode_access_log(messages[i], scope);
      if (scope.ok()) interned.add(std::move(bytes), log);
    }
    out.push_back(std::move(log));
  }
  return out;
}

}  // namespace clew
