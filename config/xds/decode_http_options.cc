#include "config/xds/decode_http_options.h"

#include "config/xds/decode_common.h"
#include "config/xds/json.h"

#include "envoy/extensions/http/header_formatters/preserve_case/v3/preserve_case.pb.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb.h"

#include <fmt/format.h>

namespace clew {

namespace core = envoy::config::core::v3;
using envoy::extensions::http::header_formatters::preserve_case::v3::PreserveCaseFormatterConfig;
using HttpOptions = envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
using Protocol = UpstreamHttpOptions::Protocol;

namespace {

constexpr const char* options_key = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

void decode_common_options(const core::HttpProtocolOptions& message, Scope& scope, UpstreamHttpOptions& out) {
  const Scope::Field in(scope, "common_http_protocol_options");
  out.idle_timeout = optional_duration(message.has_idle_timeout(), message.idle_timeout(), "idle_timeout", scope);
  out.max_connection_duration = optional_duration(message.has_max_connection_duration(),
                                                  message.max_connection_duration(), "max_connection_duration", scope);
  if (message.has_max_requests_per_connection())
    out.max_requests_per_connection = message.max_requests_per_connection().value();
  if (message.has_max_stream_duration()) scope.fail("max_stream_duration", "is a matter of routes");
}

void decode_http1(const core::Http1ProtocolOptions& message, Scope& scope, UpstreamHttpOptions& out) {
  const Scope::Field in(scope, "http_protocol_options");
  out.preserve_header_case = decode_preserve_case(message, scope);
  out.accept_http_10 = message.accept_http_10();
}

void decode_http2(const core::Http2ProtocolOptions& message, Scope& scope, UpstreamHttpOptions& out) {
  const Scope::Field in(scope, "http2_protocol_options");
  if (message.has_max_concurrent_streams()) {
    out.max_concurrent_streams = message.max_concurrent_streams().value();
    if (out.max_concurrent_streams == 0 || out.max_concurrent_streams > 0x7fffffff)
      scope.fail("max_concurrent_streams", "must be from 1 to 2147483647");
  }
  if (message.has_initial_stream_window_size())
    out.initial_stream_window =
        decode_window(message.initial_stream_window_size().value(), "initial_stream_window_size", scope);
  if (message.has_initial_connection_window_size())
    out.initial_connection_window =
        decode_window(message.initial_connection_window_size().value(), "initial_connection_window_size", scope);
  const auto& keepalive = message.connection_keepalive();
  out.keepalive_interval =
      optional_duration(keepalive.has_interval(), keepalive.interval(), "connection_keepalive.interval", scope);
  out.keepalive_timeout =
      optional_duration(keepalive.has_timeout(), keepalive.timeout(), "connection_keepalive.timeout", scope);
}

void decode_options(const HttpOptions& message, AutoSni& automatic, Scope& scope, UpstreamHttpOptions& out) {
  decode_common_options(message.common_http_protocol_options(), scope, out);
  automatic = {message.upstream_http_protocol_options().auto_sni(),
               message.upstream_http_protocol_options().auto_san_validation()};
  switch (message.upstream_protocol_options_case()) {
    case HttpOptions::kExplicitHttpConfig: {
      const Scope::Field in(scope, "explicit_http_config");
      const auto& config = message.explicit_http_config();
      if (config.has_http2_protocol_options()) {
        out.protocol = Protocol::http2;
        decode_http2(config.http2_protocol_options(), scope, out);
      } else {
        decode_http1(config.http_protocol_options(), scope, out);
      }
      break;
    }
    case HttpOptions::kUseDownstreamProtocolConfig: {
      const Scope::Field in(scope, "use_downstream_protocol_config");
      out.protocol = Protocol::downstream;
      decode_http1(message.use_downstream_protocol_config().http_protocol_options(), scope, out);
      decode_http2(message.use_downstream_protocol_config().http2_protocol_options(), scope, out);
      break;
    }
    default: scope.fail("says neither explicit_http_config nor use_downstream_protocol_config");
  }
}

}  // namespace

bool decode_preserve_case(const core::Http1ProtocolOptions& message, Scope& scope) {
  if (!message.header_key_format().has_stateful_formatter()) return false;
  const Scope::Field in(scope, "header_key_format.stateful_formatter");
  auto config = unpack(message.header_key_format().stateful_formatter().typed_config());
  if (config && dynamic_cast<PreserveCaseFormatterConfig*>(config->get())) return true;
  scope.fail("must be preserve_case");
  return false;
}

std::uint32_t decode_window(std::uint32_t size, std::string_view field, Scope& scope) {
  if (size < 65'535 || size > 0x7fffffff) scope.fail(field, fmt::format("{} is no window: 65535 to 2147483647", size));
  return size;
}

UpstreamHttpOptions decode_upstream_http(const envoy::config::cluster::v3::Cluster& message, AutoSni& automatic,
                                         Scope& scope) {
  UpstreamHttpOptions out;
  if (message.has_max_requests_per_connection()) {
    if (message.common_http_protocol_options().has_max_requests_per_connection())
      scope.fail("max_requests_per_connection", "is there twice: in common_http_protocol_options too");
    out.max_requests_per_connection = message.max_requests_per_connection().value();
  }
  const auto& extensions = message.typed_extension_protocol_options();
  for (const auto& [name, unused] : extensions)
    if (name != options_key)
      scope.fail("typed_extension_protocol_options", fmt::format("«{}» is not supported", printable(name)));
  if (const auto it = extensions.find(options_key); it != extensions.end()) {
    const Scope::Field in(scope, "typed_extension_protocol_options", std::string_view(options_key));
    auto options = unpack(it->second);
    if (const auto* config = options ? dynamic_cast<const HttpOptions*>(options->get()) : nullptr)
      decode_options(*config, automatic, scope, out);
    else
      scope.fail(options ? std::string("is of another type") : options.error().message);
    return out;
  }
  // The older form.
  decode_common_options(message.common_http_protocol_options(), scope, out);
  automatic = {message.upstream_http_protocol_options().auto_sni(),
               message.upstream_http_protocol_options().auto_san_validation()};
  decode_http1(message.http_protocol_options(), scope, out);
  if (message.has_http2_protocol_options()) {
    out.protocol = Protocol::http2;
    decode_http2(message.http2_protocol_options(), scope, out);
  }
  if (message.protocol_selection() == envoy::config::cluster::v3::Cluster::USE_DOWNSTREAM_PROTOCOL)
    out.protocol = Protocol::downstream;
  else if (message.has_http_protocol_options() && message.has_http2_protocol_options())
    scope.fail("protocol_selection", "options of both protocols are there: it must be USE_DOWNSTREAM_PROTOCOL");
  return out;
}

}  // namespace clew
