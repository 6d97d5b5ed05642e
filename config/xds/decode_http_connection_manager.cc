#include "config/xds/decode_access_log.h"
#include "config/xds/decode_http_options.h"
#include "config/xds/decode_route.h"
#include "config/xds/decode_terminal.h"
#include "config/xds/decode_tls.h"
#include "config/xds/filter_registry.h"
#include "config/xds/json.h"

#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/request_id/uuid/v3/uuid.pb.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace clew {

namespace core = envoy::config::core::v3;
namespace hcm = envoy::extensions::filters::network::http_connection_manager::v3;
using Message = hcm::HttpConnectionManager;
using envoy::extensions::filters::http::router::v3::Router;
using envoy::extensions::request_id::uuid::v3::UuidRequestIdConfig;

namespace {

constexpr std::uint32_t max_headers_kb = 8192;  // Envoy's bound
constexpr std::uint32_t max_headers_count = 10'000;

void decode_routes_of(const Message& message, DecodeContext& context, Scope& scope, HttpConnectionManager& out) {
  if (message.has_route_config()) {
    const Scope::Field in(scope, "route_config");
    out.inline_routes = decode_routes(message.route_config(), context, scope);
    return;
  }
  const Scope::Field in(scope, "rds");
  out.rds_name = message.rds().route_config_name();
  if (out.rds_name.empty()) scope.fail("route_config_name", "is empty");
  const Scope::Field source(scope, "config_source");
  require_ads(message.rds().config_source(), scope);
  context.needs.rds_names.emplace(out.rds_name, decode_fetch_timeout(message.rds().config_source(), scope));
}

void decode_filters(const Message& message, DecodeContext& context, Scope& scope, HttpConnectionManager& out) {
  const int count = message.http_filters_size();
  if (count == 0) scope.fail("http_filters", "is empty; the router must be the last");
  for (int i = 0; i < count && scope.ok(); ++i) {
    const Scope::Field in(scope, "http_filters", static_cast<std::size_t>(i));
    const auto& filter = message.http_filters(i);
    auto config = unpack(filter.typed_config());
    if (!config) {
      scope.fail(config.error().message);
      continue;
    }
    const auto* router = dynamic_cast<const Router*>(config->get());
    if ((router != nullptr) != (i + 1 == count)) {
      scope.fail(router ? "the router must be the last filter" : "the last filter must be the router");
    } else if (router) {
      out.suppress_envoy_headers = router->suppress_envoy_headers();
    } else if (auto made = context.filters.http_filter(filter.name(), **config); !made) {
      scope.fail(fmt::format("{}: {}", printable(filter.name()), made.error().message));
    } else if (*made) {
      out.filters.push_back(std::move(*made));
    }
  }
}

void decode_identity(const Message& message, Scope& scope, HttpConnectionManager& out) {
  using Header = HttpConnectionManager::ServerHeader;
  using Cert = HttpConnectionManager::ForwardClientCert;
  if (!message.server_name().empty()) out.server_name = message.server_name();
  switch (message.server_header_transformation()) {
    case Message::APPEND_IF_ABSENT: out.server_header = Header::append_if_absent; break;
    case Message::PASS_THROUGH: out.server_header = Header::pass_through; break;
    default: out.server_header = Header::overwrite;
  }
  switch (message.forward_client_cert_details()) {
    case Message::FORWARD_ONLY: out.forward_client_cert = Cert::forward_only; break;
    case Message::APPEND_FORWARD: out.forward_client_cert = Cert::append_forward; break;
    case Message::SANITIZE_SET: out.forward_client_cert = Cert::sanitize_set; break;
    case Message::ALWAYS_FORWARD_ONLY: out.forward_client_cert = Cert::always_forward_only; break;
    default: out.forward_client_cert = Cert::sanitize;
  }
  const auto& details = message.set_current_client_cert_details();
  out.client_cert_details = {details.subject().value(), details.cert(), details.chain(), details.dns(), details.uri()};
  out.use_remote_address = message.use_remote_address().value();
  out.skip_xff_append = message.skip_xff_append();
  out.xff_num_trusted_hops = message.xff_num_trusted_hops();
  for (int i = 0; i < message.internal_address_config().cidr_ranges_size(); ++i) {
    const Scope::Field in(scope, "internal_address_config.cidr_ranges", static_cast<std::size_t>(i));
    out.internal_cidrs.push_back(decode_cidr(message.internal_address_config().cidr_ranges(i), scope));
  }
  out.reject_path_with_fragment = reject_path_with_fragment();
  out.via = message.via();
  for (const auto* text : {&message.server_name(), &message.via()})
    if (text->find_first_of(std::string_view("\0\r\n", 3)) != std::string::npos)
      scope.fail("server_name", "or via has a line break in it");
  out.append_x_forwarded_port = message.append_x_forwarded_port();
}

void decode_request_rules(const Message& message, Scope& scope, HttpConnectionManager& out) {
  using Slashes = HttpConnectionManager::EscapedSlashes;
  out.generate_request_id = !message.has_generate_request_id() || message.generate_request_id().value();
  out.preserve_external_request_id = message.preserve_external_request_id();
  out.always_set_request_id_in_response = message.always_set_request_id_in_response();
  out.normalize_path = message.normalize_path().value();
  out.merge_slashes = message.merge_slashes();
  switch (message.path_with_escaped_slashes_action()) {
    case Message::REJECT_REQUEST: out.escaped_slashes = Slashes::reject; break;
    case Message::UNESCAPE_AND_REDIRECT: out.escaped_slashes = Slashes::unescape_and_redirect; break;
    case Message::UNESCAPE_AND_FORWARD: out.escaped_slashes = Slashes::unescape_and_forward; break;
    default: out.escaped_slashes = Slashes::keep_unchanged;
  }
  if (message.strip_matching_host_port() && message.strip_any_host_port())
    scope.fail("strip_any_host_port", "and strip_matching_host_port are both set");
  if (message.strip_matching_host_port()) out.strip_port = HttpConnectionManager::StripPort::matching;
  if (message.strip_any_host_port()) out.strip_port = HttpConnectionManager::StripPort::any;
  out.strip_trailing_host_dot = message.strip_trailing_host_dot();
  std::set<std::string> upgrades;
  for (const auto& upgrade : message.upgrade_configs()) {
    const std::string type = to_lower(upgrade.upgrade_type());
    if (!upgrades.insert(type).second) scope.fail("upgrade_configs", fmt::format("«{}» is there twice", type));
    if (!upgrade.has_enabled() || upgrade.enabled().value()) out.upgrades.push_back(type);
  }
  const auto& ids = message.request_id_extension().typed_config();
  if (message.request_id_extension().has_typed_config() && !ids.type_url().empty() && !ids.Is<UuidRequestIdConfig>())
    scope.fail("request_id_extension.typed_config", fmt::format("{} makes no request ids", printable(ids.type_url())));
  out.proxy_100_continue = message.proxy_100_continue();
}

void decode_times(const Message& message, Scope& scope, HttpConnectionManager& out) {
  const auto duration = [&](bool set, const google::protobuf::Duration& value, std::string_view field, Duration& into) {
    if (!set) return;
    const Scope::Field in(scope, field);
    into = decode_duration(value, scope);
  };
  duration(message.has_stream_idle_timeout(), message.stream_idle_timeout(), "stream_idle_timeout",
           out.stream_idle_timeout);
  duration(message.has_request_timeout(), message.request_timeout(), "request_timeout", out.request_timeout);
  duration(message.has_request_headers_timeout(), message.request_headers_timeout(), "request_headers_timeout",
           out.request_headers_timeout);
  duration(message.has_drain_timeout(), message.drain_timeout(), "drain_timeout", out.drain_timeout);
  const Scope::Field in(scope, "common_http_protocol_options");
  const auto& common = message.common_http_protocol_options();
  const auto optional = [&](bool set, const google::protobuf::Duration& value, std::string_view field,
                            std::optional<Duration>& into) {
    if (set) duration(true, value, field, into.emplace());
  };
  optional(common.has_idle_timeout(), common.idle_timeout(), "idle_timeout", out.idle_timeout);
  optional(common.has_max_connection_duration(), common.max_connection_duration(), "max_connection_duration",
           out.max_connection_duration);
  optional(common.has_max_stream_duration(), common.max_stream_duration(), "max_stream_duration",
           out.max_stream_duration);
}

void decode_limits(const Message& message, Scope& scope, HttpConnectionManager& out) {
  using Underscores = HttpConnectionManager::Underscores;
  if (message.has_max_request_headers_kb()) out.max_headers_kb = message.max_request_headers_kb().value();
  if (out.max_headers_kb == 0 || out.max_headers_kb > max_headers_kb)
    scope.fail("max_request_headers_kb", fmt::format("must be from 1 to {}", max_headers_kb));
  const Scope::Field in(scope, "common_http_protocol_options");
  const auto& common = message.common_http_protocol_options();
  if (common.has_max_headers_count()) out.max_headers_count = common.max_headers_count().value();
  if (out.max_headers_count == 0 || out.max_headers_count > max_headers_count)
    scope.fail("max_headers_count", fmt::format("must be from 1 to {}", max_headers_count));
  if (common.has_max_requests_per_connection())
    out.max_requests_per_connection = common.max_requests_per_connection().value();
  switch (common.headers_with_underscores_action()) {
    case core::HttpProtocolOptions::REJECT_REQUEST: out.headers_with_underscores = Underscores::reject_request; break;
    case core::HttpProtocolOptions::DROP_HEADER: out.headers_with_underscores = Underscores::drop_header; break;
    default: out.headers_with_underscores = Underscores::allow;
  }
}

void decode_codecs(const Message& message, Scope& scope, HttpConnectionManager& out) {
  using Codec = HttpConnectionManager::Codec;
  out.codec = message.codec_type() == Message::HTTP1   ? Codec::http1
              : message.codec_type() == Message::HTTP2 ? Codec::http2
                                                       : Codec::automatic;
  {
    const Scope::Field in(scope, "http_protocol_options");
    const auto& http1 = message.http_protocol_options();
    out.accept_http_10 = http1.accept_http_10();
    out.default_host_for_http_10 = http1.default_host_for_http_10();
    out.preserve_header_case = decode_preserve_case(http1, scope);
    out.allow_absolute_url = !http1.has_allow_absolute_url() || http1.allow_absolute_url().value();
  }
  const Scope::Field in(scope, "http2_protocol_options");
  const auto& http2 = message.http2_protocol_options();
  if (http2.has_connection_keepalive()) scope.fail("connection_keepalive", "is not supported downstream");
  if (http2.has_max_concurrent_streams()) {
    out.max_concurrent_streams = http2.max_concurrent_streams().value();
    if (out.max_concurrent_streams == 0 || out.max_concurrent_streams > 0x7fffffff)
      scope.fail("max_concurrent_streams", "must be from 1 to 2147483647");
  }
  if (http2.has_initial_stream_window_size())
    out.initial_stream_window =
        decode_window(http2.initial_stream_window_size().value(), "initial_stream_window_size", scope);
  if (http2.has_initial_connection_window_size())
    out.initial_connection_window =
        decode_window(http2.initial_connection_window_size().value(), "initial_connection_window_size", scope);
}

std::optional<HttpConnectionManager::Tracing> decode_tracing(const Message& message, Scope& scope) {
  if (!message.has_tracing()) return std::nullopt;
  const Scope::Field in(scope, "tracing");
  HttpConnectionManager::Tracing out;
  const auto percent = [&](bool set, const envoy::type::v3::Percent& value, std::string_view field, double& into) {
    if (!set) return;
    const Scope::Field at(scope, field);
    into = decode_percent(value, scope);
  };
  percent(message.tracing().has_client_sampling(), message.tracing().client_sampling(), "client_sampling",
          out.client_sampling);
  percent(message.tracing().has_random_sampling(), message.tracing().random_sampling(), "random_sampling",
          out.random_sampling);
  percent(message.tracing().has_overall_sampling(), message.tracing().overall_sampling(), "overall_sampling",
          out.overall_sampling);
  return out;
}

}  // namespace

std::shared_ptr<const HttpConnectionManager> decode_http_connection_manager(const Message& message,
                                                                            DecodeContext& context, Scope& scope) {
  auto out = std::make_shared<HttpConnectionManager>();
  out->stat_prefix = message.stat_prefix();
  if (message.stat_prefix().empty()) scope.fail("stat_prefix", "is empty");
  decode_routes_of(message, context, scope, *out);
  decode_filters(message, context, scope, *out);
  decode_identity(message, scope, *out);
  decode_request_rules(message, scope, *out);
  decode_times(message, scope, *out);
  decode_limits(message, scope, *out);
  decode_codecs(message, scope, *out);
  out->access_logs = decode_access_logs(message.access_log(), "access_log", scope);
  out->tracing = decode_tracing(message, scope);
  return out;
}

}  // namespace clew
