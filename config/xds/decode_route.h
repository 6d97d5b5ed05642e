// Routes, also where they stand inside a connection manager.
#pragma once

#include "config/snapshot/route.h"
#include "config/xds/decode.h"
#include "config/xds/scope.h"

#include "envoy/config/route/v3/route.pb.h"

namespace clew {

std::shared_ptr<const RouteTable> decode_routes(const envoy::config::route::v3::RouteConfiguration& message,
                                                DecodeContext& context, Scope& scope);

/// The action of a route that forwards (decode_route_action.cc).
ForwardAction decode_forward(const envoy::config::route::v3::RouteAction& message, DecodeContext& context,
                             Scope& scope);
RedirectAction decode_redirect(const envoy::config::route::v3::RedirectAction& message, Scope& scope);
std::shared_ptr<const RetryPolicy> decode_retry_policy(const envoy::config::route::v3::RetryPolicy& message,
                                                       DecodeContext& context, Scope& scope);

/// The four lists that tables, hosts, routes and weighted clusters have.
template <class Message>
HeaderMutationsPtr decode_header_mutations(const Message& message, Scope& scope);

}  // namespace clew

#include "config/xds/decode_common.h"

template <class Message>
clew::HeaderMutationsPtr clew::decode_header_mutations(const Message& message, Scope& scope) {
  if (message.request_headers_to_add().empty() && message.response_headers_to_add().empty() &&
      message.request_headers_to_remove().empty() && message.response_headers_to_remove().empty())
    return nullptr;
  return std::make_shared<const HeaderMutations>(HeaderMutations{
      decode_headers_to_add(message.request_headers_to_add(), "request_headers_to_add", scope),
      decode_headers_to_add(message.response_headers_to_add(), "response_headers_to_add", scope),
      decode_headers_to_remove(message.request_headers_to_remove(), "request_headers_to_remove", scope),
      decode_headers_to_remove(message.response_headers_to_remove(), "response_headers_to_remove", scope)});
}
