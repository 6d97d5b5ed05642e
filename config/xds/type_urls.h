// The resource types that istiod serves, in the order in which it pushes them (make before break).
#pragma once

#include <array>
#include <string_view>

namespace clew::type_url {

inline constexpr std::string_view cluster = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
inline constexpr std::string_view endpoints = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
inline constexpr std::string_view listener = "type.googleapis.com/envoy.config.listener.v3.Listener";
inline constexpr std::string_view route = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
inline constexpr std::string_view secret = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

inline constexpr std::array all{cluster, endpoints, listener, route, secret};

}  // namespace clew::type_url
