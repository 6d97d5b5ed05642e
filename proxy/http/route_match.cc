#include "proxy/http/route_match.h"

#include "proxy/http/url.h"

#include <fmt/format.h>

#include <algorithm>

namespace clew {
namespace {

bool same(std::string_view a, std::string_view b, bool case_sensitive) {
  return case_sensitive ? a == b : equals_ignore_case(a, b);
}

bool path_matches(const PathMatch& match, const RequestHead& request) {
  const bool connect = request.method == "CONNECT";  // has no path
  if (connect || match.kind == PathMatch::Kind::connect) return connect && match.kind == PathMatch::Kind::connect;
  const std::string_view path = path_only(request.path);
  const std::size_t n = match.text.size();
  switch (match.kind) {
    case PathMatch::Kind::prefix: return same(path.substr(0, n), match.text, match.case_sensitive);
    case PathMatch::Kind::exact: return same(path, match.text, match.case_sensitive);
    case PathMatch::Kind::separated_prefix:
      return same(path.substr(0, n), match.text, match.case_sensitive) && (path.size() == n || path[n] == '/');
    case PathMatch::Kind::regex: return match.regex && match.regex->full_match(path);
    case PathMatch::Kind::connect: break;
  }
  return false;
}

const WeightedCluster* draw(const ForwardAction& action, std::uint64_t random) {
  if (action.clusters.empty()) return nullptr;
  if (action.clusters.size() == 1 || action.total_weight == 0) return &action.clusters.front();
  std::uint64_t at = random % action.total_weight;
  for (const WeightedCluster& cluster : action.clusters) {
    if (at < cluster.weight) return &cluster;
    at -= cluster.weight;
  }
  return &action.clusters.back();
}

LocalReply moved(std::uint32_t status, std::string location) {
  LocalReply reply;
  reply.status = status;
  reply.details = "direct_response";
  reply.headers.emplace_back("location", std::move(location));
  return reply;
}

std::string_view query_of(std::string_view path) { return path.substr(std::min(path.find('?'), path.size())); }

std::string redirect_path(const RedirectAction& action, const PathMatch& match, std::string_view path) {
  const std::string_view query = action.strip_query ? std::string_view() : query_of(path);
  const std::string_view plain = path.substr(0, std::min(path.find('?'), path.size()));
  if (!action.path.empty()) {
    // A redirect with a query of its own replaces the request's.
    if (action.path.find('?') != std::string::npos) return action.path;
    return action.path + std::string(query);
  }
  if (action.prefix_rewrite.empty()) return std::string(plain).append(query);
  const bool prefix = match.kind == PathMatch::Kind::prefix || match.kind == PathMatch::Kind::separated_prefix;
  const std::size_t matched = prefix ? std::min(match.text.size(), plain.size()) : plain.size();
  return action.prefix_rewrite + std::string(plain.substr(matched)).append(query);
}

const Route* first_match(const VirtualHost& host, const RequestHead& request) {
  const auto holds = [&](std::uint32_t index) { return matches(host.routes[index], request); };
  if (host.index) {
    const std::uint32_t found = host.index->first(path_only(request.path), holds);
    return found == RouteIndex::none ? nullptr : &host.routes[found];
  }
  for (std::uint32_t i = 0; i < host.routes.size(); ++i)
    if (holds(i)) return &host.routes[i];
  return nullptr;
}

}  // namespace

std::string_view path_only(std::string_view path) {
  return path.substr(0, std::min(path.find_first_of("?#"), path.size()));
}

std::optional<std::string_view> query_parameter(std::string_view path, std::string_view name) {
  std::string_view rest = query_of(path);
  while (!rest.empty()) {
    rest.remove_prefix(1);  // «?» or «&»
    const std::size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view pair = rest.substr(0, end);
    const std::size_t equal = std::min(pair.find('='), pair.size());
    if (pair.substr(0, equal) == name) return pair.substr(std::min(equal + 1, pair.size()));
    rest.remove_prefix(end);
  }
  return std::nullopt;
}

std::optional<std::string_view> header_value(const RequestHead& request, std::string_view lower_name) {
  if (lower_name.empty() || lower_name.front() != ':') {
    if (lower_name == "host") return request.authority;
    return request.headers.get_all(lower_name);
  }
  if (lower_name == ":authority") return request.authority;
  if (lower_name == ":path") return request.path;
  if (lower_name == ":method") return request.method;
  if (lower_name == ":scheme") return request.scheme;
  return std::nullopt;
}

bool matches(const Route& route, const RequestHead& request) {
  if (!path_matches(route.path, request)) return false;
  for (const HeaderMatcher& matcher : route.headers)
    if (!matcher.matches(header_value(request, matcher.name))) return false;
  for (const QueryParameterMatcher& matcher : route.query) {
    const std::optional<std::string_view> value = query_parameter(request.path, matcher.name);
    if (!value || (matcher.value && !matcher.value->matches(*value))) return false;
  }
  return true;
}

RouteMatch match_route(const RouteTable& table, const RequestHead& request, std::uint64_t random) {
  RouteMatch found;
  found.host = table.find_host(request.authority);
  if (!found.host) return found;
  found.route = first_match(*found.host, request);
  if (!found.route) return found;
  if (const auto* forward = std::get_if<ForwardAction>(&found.route->action)) found.cluster = draw(*forward, random);
  return found;
}

std::optional<LocalReply> require_tls(const VirtualHost& host, const RequestHead& request, bool internal) {
  using RequireTls = VirtualHost::RequireTls;
  if (host.require_tls == RequireTls::none || (host.require_tls == RequireTls::external_only && internal))
    return std::nullopt;
  if (request.headers.get(HeaderId::x_forwarded_proto) == "https") return std::nullopt;
  return moved(301, fmt::format("https://{}{}", request.authority, request.path));
}

LocalReply redirect_reply(const RedirectAction& action, const PathMatch& match, const RequestHead& request) {
  const std::string_view own_scheme = request.headers.get(HeaderId::x_forwarded_proto).value_or(request.scheme);
  const std::string_view scheme = action.https             ? "https"
                                  : !action.scheme.empty() ? std::string_view(action.scheme)
                                                           : request.scheme;
  const std::string port = action.port ? fmt::format(":{}", *action.port) : std::string();
  std::string_view host = action.host;
  if (host.empty()) {
    const HostPort parts = split_host_port(request.authority);
    const bool default_port =
        (own_scheme == "http" && parts.port == "80") || (own_scheme == "https" && parts.port == "443");
    // The old port goes when a new one is given, or when it was the old scheme's own.
    host = !port.empty() || (default_port && scheme != own_scheme) ? parts.host : request.authority;
  }
  return moved(action.status,
               fmt::format("{}://{}{}{}", scheme, host, port, redirect_path(action, match, request.path)));
}

LocalReply direct_reply(const DirectResponse& action) {
  LocalReply reply;
  reply.status = action.status;
  reply.body = action.body;
  reply.details = "direct_response";
  return reply;
}

}  // namespace clew
