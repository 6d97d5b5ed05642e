#include "config/xds/decode_route.h"

#include "config/xds/field_table.h"
#include "config/xds/filter_registry.h"
#include "config/xds/json.h"

#include "envoy/config/route/v3/route_components.pb.h"

#include <fmt/format.h>

namespace clew {

namespace route = envoy::config::route::v3;

namespace {

constexpr std::size_t max_body = 1024 * 1024;

using FilterConfigs = StringMap<std::shared_ptr<const FilterRouteConfig>>;

template <class Map>
FilterConfigs decode_filter_configs(const Map& messages, DecodeContext& context, Scope& scope) {
  FilterConfigs out;
  for (const auto& [name, any] : messages) {
    const Scope::Field in(scope, "typed_per_filter_config", std::string_view(name));
    auto config = unpack(any);
    if (config && dynamic_cast<const route::FilterConfig*>(config->get()))
      config = unpack(static_cast<const route::FilterConfig&>(**config).config());
    if (!config) {
      scope.fail(config.error().message);
      continue;
    }
    auto made = context.filters.route_config(name, **config);
    if (!made)
      scope.fail(made.error().message);
    else if (*made)
      out.emplace(name, std::move(*made));
  }
  return out;
}

PathMatch decode_path(const route::RouteMatch& message, Scope& scope) {
  using Kind = PathMatch::Kind;
  const bool fold = message.has_case_sensitive() && !message.case_sensitive().value();
  switch (message.path_specifier_case()) {
    case route::RouteMatch::kPrefix: return {Kind::prefix, message.prefix(), std::nullopt, !fold};
    case route::RouteMatch::kPath: return {Kind::exact, message.path(), std::nullopt, !fold};
    case route::RouteMatch::kPathSeparatedPrefix: {
      const std::string& prefix = message.path_separated_prefix();
      if (prefix.size() < 2 || prefix.front() != '/' || prefix.back() == '/' ||
          prefix.find_first_of("?#") != std::string::npos)
        scope.fail("path_separated_prefix",
                   fmt::format("«{}» must begin with / and not end with it", printable(prefix)));
      return {Kind::separated_prefix, prefix, std::nullopt, !fold};
    }
    case route::RouteMatch::kSafeRegex: {
      const Scope::Field in(scope, "safe_regex");
      return {Kind::regex, {}, decode_regex(message.safe_regex(), scope), true};  // case_sensitive has no effect on it
    }
    default: scope.fail("says nothing of the path"); return {};
  }
}

DirectResponse decode_direct(const route::DirectResponseAction& message, std::size_t limit, Scope& scope) {
  const Scope::Field in(scope, "direct_response");
  if (message.status() < 200 || message.status() > 599)
    scope.fail("status", fmt::format("{} is no status of a response", message.status()));
  DirectResponse out{message.status(), {}};
  if (message.has_body()) {
    const Scope::Field body(scope, "body");
    out.body = decode_data_source(message.body(), scope);
    if (out.body.size() > limit) scope.fail(fmt::format("is larger than {} bytes", limit));
  }
  return out;
}

struct Limits {
  std::size_t body;
};

Route decode_one(const route::Route& message, Limits limits, DecodeContext& context, Scope& scope) {
  Route out;
  const Scope::Object object(scope, metadata_object(message.metadata()));
  out.name = message.name();
  {
    const Scope::Field in(scope, "match");
    out.path = decode_path(message.match(), scope);
    for (int i = 0; i < message.match().headers_size(); ++i) {
      const Scope::Field at(scope, "headers", static_cast<std::size_t>(i));
      out.headers.push_back(decode_header_matcher(message.match().headers(i), scope));
    }
    for (int i = 0; i < message.match().query_parameters_size(); ++i) {
      const Scope::Field at(scope, "query_parameters", static_cast<std::size_t>(i));
      out.query.push_back(decode_query_parameter_matcher(message.match().query_parameters(i), scope));
    }
  }
  switch (message.action_case()) {
    case route::Route::kRoute: out.action = decode_forward(message.route(), context, scope); break;
    case route::Route::kRedirect: out.action = decode_redirect(message.redirect(), scope); break;
    case route::Route::kDirectResponse:
      out.action = decode_direct(message.direct_response(), limits.body, scope);
      break;
    default: scope.fail("has no action");
  }
  out.header_mutations = decode_header_mutations(message, scope);
  out.decorator_operation = message.decorator().operation();
  out.istio_config = metadata_string(message.metadata(), "istio", "config");
  out.filter_config = decode_filter_configs(message.typed_per_filter_config(), context, scope);
  return out;
}

VirtualHost::RequireTls decode_require_tls(route::VirtualHost::TlsRequirementType type) {
  switch (type) {
    case route::VirtualHost::EXTERNAL_ONLY: return VirtualHost::RequireTls::external_only;
    case route::VirtualHost::ALL: return VirtualHost::RequireTls::all;
    default: return VirtualHost::RequireTls::none;
  }
}

VirtualHost decode_host(const route::VirtualHost& message, Limits limits, DecodeContext& context, Scope& scope) {
  VirtualHost out;
  const Scope::Object object(scope, metadata_object(message.metadata()));
  out.name = message.name();
  if (message.domains().empty()) scope.fail("domains", "is empty");
  for (int i = 0; i < message.domains_size(); ++i) {
    const std::string& domain = message.domains(i);
    const std::size_t star = domain.find('*');
    const bool inside = star != std::string::npos &&
                        (domain.find('*', star + 1) != std::string::npos || (star != 0 && star + 1 != domain.size()));
    if (domain.empty() || inside)
      scope.fail("domains", fmt::format("«{}» is neither a name nor one with a * at an end", printable(domain)));
    out.domains.push_back(domain);
  }
  out.routes.reserve(static_cast<std::size_t>(message.routes_size()));
  for (int i = 0; i < message.routes_size(); ++i) {
    const Scope::Field in(scope, "routes", static_cast<std::size_t>(i));
    out.routes.push_back(decode_one(message.routes(i), limits, context, scope));
  }
  out.header_mutations = decode_header_mutations(message, scope);
  out.include_request_attempt_count = message.include_request_attempt_count();
  out.require_tls = decode_require_tls(message.require_tls());
  if (message.has_retry_policy()) out.retry = decode_retry_policy(message.retry_policy(), context, scope);
  out.filter_config = decode_filter_configs(message.typed_per_filter_config(), context, scope);
  return out;
}

}  // namespace

std::shared_ptr<const RouteTable> decode_routes(const route::RouteConfiguration& message, DecodeContext& context,
                                                Scope& scope) {
  auto out = std::make_shared<RouteTable>();
  out->name = message.name();
  Limits limits{4096};  // Envoy's default
  if (message.has_max_direct_response_body_size_bytes())
    limits.body = std::min<std::size_t>(message.max_direct_response_body_size_bytes().value(), max_body);
  out->hosts.reserve(static_cast<std::size_t>(message.virtual_hosts_size()));
  for (int i = 0; i < message.virtual_hosts_size(); ++i) {
    const Scope::Field in(scope, "virtual_hosts", static_cast<std::size_t>(i));
    out->hosts.push_back(decode_host(message.virtual_hosts(i), limits, context, scope));
  }
  out->header_mutations = decode_header_mutations(message, scope);
  out->ignore_port_in_host = message.ignore_port_in_host_matching();
  out->filter_config = decode_filter_configs(message.typed_per_filter_config(), context, scope);
  if (const auto twice = out->finish())
    scope.fail("virtual_hosts", fmt::format("the domain «{}» is there twice", printable(*twice)));
  return out;
}

Decoded<std::shared_ptr<const RouteTable>> decode_route_table(const route::RouteConfiguration& message,
                                                              DecodeContext& context) {
  Scope scope("route " + printable(message.name()));
  check_fields(message, scope);
  const Scope::Object object(scope, metadata_object(message.metadata()));
  if (message.name().empty()) scope.fail("name", "is empty");
  auto out = decode_routes(message, context, scope);
  if (!scope.ok()) return DecodeError{scope.problem()};
  return out;
}

}  // namespace clew
