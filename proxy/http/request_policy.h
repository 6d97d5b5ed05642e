// What the HTTP connection manager itself does to a request before it is routed, and to an answer before it leaves, in
// the order of Envoy's ConnectionManagerUtility: one canonical view, nothing taken on trust from outside.
#pragma once

#include "proxy/http/stream.h"

#include <optional>
#include <string_view>

namespace clew {

/// Checks and normalizes host and path, strips what a client may not say, sets the forwarding headers, x-request-id and
/// x-forwarded-client-cert. Fills stream.remote, internal, is_grpc and info.request_id. A reply ends the request.
std::optional<LocalReply> prepare_request(Stream& stream);

/// Server, date, via, request id; after all filters, for local replies too.
void prepare_response(Stream& stream);

/// «Sat, 21 Nov 2026 11:17:50 GMT».
std::string_view http_date(WallTime now);

}  // namespace clew
