// Which route a request takes, as envoy.config.route.v3 says, and the answers that a route gives without an upstream.
// Pure functions over config/snapshot/route.h.
#pragma once

#include "config/snapshot/route.h"
#include "proxy/http/message.h"
#include "proxy/http/stream.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace clew {

struct RouteMatch {
  const VirtualHost* host = nullptr;         // null: no virtual host for this authority
  const Route* route = nullptr;              // null: none of its routes matches
  const WeightedCluster* cluster = nullptr;  // drawn by weight; null when the route does not forward
};

/// First match wins. random draws the weighted cluster.
RouteMatch match_route(const RouteTable& table, const RequestHead& request, std::uint64_t random);
bool matches(const Route& route, const RequestHead& request);

/// The value a matcher sees: pseudo-headers too, several values joined with «,».
std::optional<std::string_view> header_value(const RequestHead& request, std::string_view lower_name);

/// Without query and fragment.
std::string_view path_only(std::string_view path);
/// First value of a query parameter, as it is (not decoded); «» for one without «=».
std::optional<std::string_view> query_parameter(std::string_view path, std::string_view name);

/// The host wants https and the request did not come that way: where to. Nothing: all is well.
std::optional<LocalReply> require_tls(const VirtualHost& host, const RequestHead& request, bool internal);
LocalReply redirect_reply(const RedirectAction& action, const PathMatch& match, const RequestHead& request);
LocalReply direct_reply(const DirectResponse& action);

}  // namespace clew
