// What the router changes in a request on its way out and in an answer on its way back: header mutations of weighted
// cluster, route, virtual host and table, host and path rewrites, in Envoy's order.
#pragma once

#include "proxy/http/stream.h"

#include <string>
#include <string_view>

namespace clew {

/// Once a request, before the first draw.
void finalize_request(Stream& stream, const ForwardAction& action);
/// Once, on the head that goes to the client.
void finalize_response(Stream& stream);

/// The path (with query) after prefix_rewrite or regex_rewrite; the same when the action has none.
std::string rewrite_path(const ForwardAction& action, const PathMatch& match, std::string_view path);

}  // namespace clew
