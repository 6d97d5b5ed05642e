#include "config/xds/decode_route.h"
#include "config/xds/json.h"

#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.pb.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>

namespace clew {

namespace route = envoy::config::route::v3;
using envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;

namespace {

constexpr std::uint64_t max_total_weight = 0xffffffff;
constexpr std::int64_t max_host_selections = 100;

void decode_clusters(const route::RouteAction& message, Scope& scope, ForwardAction& out) {
  if (message.cluster_specifier_case() == route::RouteAction::kCluster) {
    if (message.cluster().empty()) scope.fail("cluster", "is empty");
    out.clusters.push_back({message.cluster(), 1, nullptr, {}});
    out.total_weight = 1;
    return;
  }
  const Scope::Field in(scope, "weighted_clusters");
  const auto& weighted = message.weighted_clusters();
  for (int i = 0; i < weighted.clusters_size(); ++i) {
    const Scope::Field at(scope, "clusters", static_cast<std::size_t>(i));
    const auto& entry = weighted.clusters(i);
    if (entry.name().empty()) scope.fail("name", "is empty");
    out.clusters.push_back(
        {entry.name(), entry.weight().value(), decode_header_mutations(entry, scope), entry.host_rewrite_literal()});
    out.total_weight += entry.weight().value();
  }
  if (out.total_weight == 0 || out.total_weight > max_total_weight)
    scope.fail(fmt::format("the weights add up to {}, which must be from 1 to {}", out.total_weight, max_total_weight));
  if (weighted.has_total_weight() && weighted.total_weight().value() != out.total_weight)
    scope.fail("total_weight", fmt::format("is not the sum {} of the weights", out.total_weight));
}

void decode_rewrites(const route::RouteAction& message, Scope& scope, ForwardAction& out) {
  out.prefix_rewrite = message.prefix_rewrite();
  if (message.has_regex_rewrite()) {
    const Scope::Field in(scope, "regex_rewrite");
    {
      const Scope::Field pattern(scope, "pattern");
      out.regex_rewrite = decode_regex(message.regex_rewrite().pattern(), scope);
    }
    out.regex_substitution = message.regex_rewrite().substitution();
    std::string error;
    if (const re2::RE2 pattern(std::string(out.regex_rewrite->pattern()), re2::RE2::Latin1);
        pattern.ok() && !pattern.CheckRewriteString(out.regex_substitution, &error))
      scope.fail("substitution", printable(error));
    if (!out.prefix_rewrite.empty()) scope.fail("and prefix_rewrite are both set");
  }
  if (message.host_rewrite_specifier_case() == route::RouteAction::kHostRewriteLiteral)
    out.host_rewrite = message.host_rewrite_literal();
  out.append_x_forwarded_host = message.append_x_forwarded_host();
}

void decode_timeouts(const route::RouteAction& message, Scope& scope, ForwardAction& out) {
  out.timeout = optional_duration(message.has_timeout(), message.timeout(), "timeout", scope);
  out.idle_timeout = optional_duration(message.has_idle_timeout(), message.idle_timeout(), "idle_timeout", scope);
  out.grpc_timeout_max =
      optional_duration(message.has_max_grpc_timeout(), message.max_grpc_timeout(), "max_grpc_timeout", scope);
  const Scope::Field in(scope, "max_stream_duration");
  const auto& limit = message.max_stream_duration();
  out.max_stream_duration =
      optional_duration(limit.has_max_stream_duration(), limit.max_stream_duration(), "max_stream_duration", scope);
  if (limit.has_grpc_timeout_header_max())
    out.grpc_timeout_max = optional_duration(true, limit.grpc_timeout_header_max(), "grpc_timeout_header_max", scope);
}

HashPolicy decode_hash_policy(const route::RouteAction::HashPolicy& message, Scope& scope) {
  using Policy = route::RouteAction::HashPolicy;
  const bool terminal = message.terminal();
  switch (message.policy_specifier_case()) {
    case Policy::kHeader: {
      const Scope::Field in(scope, "header.header_name");
      return {HashPolicy::Header{decode_header_name(message.header().header_name(), scope)}, terminal};
    }
    case Policy::kCookie: {
      const Scope::Field in(scope, "cookie");
      const auto& cookie = message.cookie();
      HashPolicy::Cookie out{
          cookie.name(), optional_duration(cookie.has_ttl(), cookie.ttl(), "ttl", scope), cookie.path(), {}};
      const auto breaks = [](std::string_view text, std::string_view marks) {
        return text.find_first_of(marks) != std::string::npos || text.find('\0') != std::string::npos;
      };
      if (cookie.name().empty() || breaks(cookie.name(), "=;, \t\r\n")) scope.fail("name", "is no cookie name");
      for (const auto& attribute : cookie.attributes()) {
        if (breaks(attribute.name() + attribute.value(), ";\r\n")) scope.fail("attributes", "would break the cookie");
        out.attributes.emplace_back(attribute.name(), attribute.value());
      }
      if (breaks(cookie.path(), ";\r\n")) scope.fail("path", "would break the cookie");
      return {std::move(out), terminal};
    }
    case Policy::kConnectionProperties:
      if (!message.connection_properties().source_ip()) scope.fail("connection_properties", "names no property");
      return {HashPolicy::SourceIp{}, terminal};
    case Policy::kQueryParameter:
      if (message.query_parameter().name().empty()) scope.fail("query_parameter.name", "is empty");
      return {HashPolicy::QueryParameter{message.query_parameter().name()}, terminal};
    default: scope.fail("is no hash that is supported"); return {HashPolicy::SourceIp{}, terminal};
  }
}

std::uint32_t not_found_status(route::RouteAction::ClusterNotFoundResponseCode code) {
  switch (code) {
    case route::RouteAction::NOT_FOUND: return 404;
    case route::RouteAction::INTERNAL_SERVER_ERROR: return 500;
    default: return 503;
  }
}

void decode_back_off(const route::RetryPolicy::RetryBackOff& message, Scope& scope, RetryPolicy& out) {
  const Scope::Field in(scope, "retry_back_off");
  if (const auto base = optional_duration(message.has_base_interval(), message.base_interval(), "base_interval", scope))
    out.base_interval = std::max(*base, Duration(std::chrono::milliseconds(1)));  // as in Envoy
  out.max_interval = optional_duration(message.has_max_interval(), message.max_interval(), "max_interval", scope)
                         .value_or(out.base_interval * 10);
  if (out.max_interval < out.base_interval) scope.fail("max_interval", "is below base_interval");
}

RetryPolicy decode_retry(const route::RetryPolicy& message, Scope& scope) {
  RetryPolicy out;
  out.on = parse_retry_on(message.retry_on());
  if (message.has_num_retries()) out.num_retries = message.num_retries().value();
  out.per_try_timeout =
      optional_duration(message.has_per_try_timeout(), message.per_try_timeout(), "per_try_timeout", scope)
          .value_or(Duration::zero());
  out.per_try_idle_timeout = optional_duration(message.has_per_try_idle_timeout(), message.per_try_idle_timeout(),
                                               "per_try_idle_timeout", scope)
                                 .value_or(Duration::zero());
  out.retriable_status_codes.assign(message.retriable_status_codes().begin(), message.retriable_status_codes().end());
  for (int i = 0; i < message.retriable_headers_size(); ++i) {
    const Scope::Field at(scope, "retriable_headers", static_cast<std::size_t>(i));
    out.retriable_headers.push_back(decode_header_matcher(message.retriable_headers(i), scope));
  }
  if (message.has_retry_back_off()) decode_back_off(message.retry_back_off(), scope, out);
  for (int i = 0; i < message.retry_host_predicate_size(); ++i) {
    const Scope::Field at(scope, "retry_host_predicate", static_cast<std::size_t>(i));
    const auto& predicate = message.retry_host_predicate(i);
    const auto config = unpack(predicate.typed_config());
    if (config && dynamic_cast<const PreviousHostsPredicate*>(config->get()))
      out.previous_hosts = true;
    else
      scope.fail("is not previous_hosts");
  }
  if (message.host_selection_retry_max_attempts() < 0) scope.fail("host_selection_retry_max_attempts", "is below 0");
  if (message.host_selection_retry_max_attempts() > 0)
    out.host_selection_attempts =
        static_cast<std::uint32_t>(std::min(message.host_selection_retry_max_attempts(), max_host_selections));
  return out;
}

}  // namespace

std::shared_ptr<const RetryPolicy> decode_retry_policy(const route::RetryPolicy& message, DecodeContext& context,
                                                       Scope& scope) {
  const Scope::Field in(scope, "retry_policy");
  std::string bytes = message.SerializeAsString();
  if (!context.retry || context.retry_bytes != bytes) {
    context.retry = std::make_shared<const RetryPolicy>(decode_retry(message, scope));
    context.retry_bytes = std::move(bytes);
  }
  return context.retry;
}

ForwardAction decode_forward(const route::RouteAction& message, DecodeContext& context, Scope& scope) {
  const Scope::Field in(scope, "route");
  ForwardAction out;
  decode_clusters(message, scope, out);
  if (message.priority() == envoy::config::core::v3::HIGH) out.priority = Priority::high;
  out.cluster_not_found_status = not_found_status(message.cluster_not_found_response_code());
  decode_timeouts(message, scope, out);
  if (message.has_retry_policy()) out.retry = decode_retry_policy(message.retry_policy(), context, scope);
  decode_rewrites(message, scope, out);
  for (int i = 0; i < message.hash_policy_size(); ++i) {
    const Scope::Field at(scope, "hash_policy", static_cast<std::size_t>(i));
    out.hash.push_back(decode_hash_policy(message.hash_policy(i), scope));
  }
  for (const auto& upgrade : message.upgrade_configs()) {
    if (upgrade.has_enabled() && !upgrade.enabled().value())
      scope.fail("upgrade_configs", "an upgrade cannot be switched off for one route");
    std::string type = to_lower(upgrade.upgrade_type());
    if (std::find(out.upgrades.begin(), out.upgrades.end(), type) != out.upgrades.end())
      scope.fail("upgrade_configs", fmt::format("«{}» is there twice", type));
    out.upgrades.push_back(std::move(type));
  }
  return out;
}

RedirectAction decode_redirect(const route::RedirectAction& message, Scope& scope) {
  const Scope::Field in(scope, "redirect");
  RedirectAction out;
  // All of it ends in a Location header.
  for (const auto* text :
       {&message.scheme_redirect(), &message.host_redirect(), &message.path_redirect(), &message.prefix_rewrite()})
    if (std::any_of(text->begin(), text->end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }))
      scope.fail("has control characters");
  out.scheme = message.scheme_redirect();
  out.host = message.host_redirect();
  out.path = message.path_redirect();
  out.prefix_rewrite = message.prefix_rewrite();
  out.https = message.https_redirect();
  if (message.port_redirect() > 65535)
    scope.fail("port_redirect", fmt::format("{} is no port", message.port_redirect()));
  if (message.port_redirect() != 0) out.port = static_cast<std::uint16_t>(message.port_redirect());
  out.strip_query = message.strip_query();
  switch (message.response_code()) {
    case route::RedirectAction::MOVED_PERMANENTLY: out.status = 301; break;
    case route::RedirectAction::FOUND: out.status = 302; break;
    case route::RedirectAction::SEE_OTHER: out.status = 303; break;
    case route::RedirectAction::TEMPORARY_REDIRECT: out.status = 307; break;
    case route::RedirectAction::PERMANENT_REDIRECT: out.status = 308; break;
    default: scope.fail("response_code", "is not known");
  }
  return out;
}

}  // namespace clew
